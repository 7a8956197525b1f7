/* A proxy between clients and a redis-server that does to connections what networks and servers do
 * on a bad day. It runs in a process of its own, on one core, without the library.
 *
 * What happens to the n-th connection that a listener accepts follows from the seed, and happens at a
 * position in its stream of bytes, not at a time: the same seed and the same traffic meet the same
 * faults. How the kernel cuts the bytes that the proxy has read, and how long things take, is up to
 * the machine. */
#ifndef CHAOS_PROXY_H
#define CHAOS_PROXY_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* What is done to a connection, once, when so many bytes have passed. */
enum fault {
    FAULT_NONE,
    FAULT_CUT,        /* both ends are closed */
    FAULT_RESET,      /* the client gets a reset, of TCP */
    FAULT_HALF_DOWN,  /* the client is told that nothing more comes; its commands still pass */
    FAULT_HALF_UP,    /* the server is told so */
    FAULT_STOP_UP,    /* nothing is read from the client for some time */
    FAULT_STOP_DOWN,  /* or from the server */
    FAULT_STOP_RESET, /* from neither, and then a reset */
    FAULTS
};

/* How bytes pass, until so many have; then another manner is chosen. */
enum manner {
    MANNER_PASS,   /* as they come */
    MANNER_BYTES,  /* one by one */
    MANNER_PIECES, /* in pieces of up to 200 bytes */
    MANNER_MERGE,  /* what comes within some milliseconds, together */
    MANNER_DELAY,  /* later */
    MANNERS
};

enum { PROXY_TCP, PROXY_TCP_NARROW, PROXY_UNIX, PROXY_WAYS }; /* narrow: with small buffers */

enum { PROXY_SLOTS = 65536 };

/* Shared with the process of the proxy. */
struct proxy_report {
    unsigned long faults[FAULTS], manners[MANNERS], accepted, unserved;
    unsigned long long bytes;
    /* When the proxy last did something to a connection that its client may see as an end it did not
     * ask for, by way and by the client's port, or the number of the connection to the unix socket.
     * A time, because ports are used again before everybody has noticed. */
    atomic_llong harmed_at[PROXY_WAYS][PROXY_SLOTS];
};

struct proxy {
    pid_t pid;
    int port[2];     /* by way */
    int closed_port; /* nobody listens here */
    char path[108];
    struct proxy_report *report;
};

extern const char *const fault_names[FAULTS], *const manner_names[MANNERS];

/* Starts it in front of the server at the unix socket `server`; its own is made in `dir`. 0 when that
 * fails. */
int proxy_start(struct proxy *p, uint64_t seed, const char *server, const char *dir);

/* Has it print the connections that it has, for a report. */
void proxy_tell(const struct proxy *p);

/* Ends it; the report stays. */
void proxy_stop(struct proxy *p);
void proxy_forget(struct proxy *p);

#endif
