/* What the parts of hibench share: measuring, RESP written without the library, the other end of a
 * connection, and an event loop. main.c has the table of scenarios; README.md says what each stands for. */
#ifndef HIBENCH_H
#define HIBENCH_H

#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

enum {
    KIB = 1024,
    MIB = 1024 * KIB,
    SECOND_NS = 1000 * 1000 * 1000,
    STALL_MS = 20 * 1000, /* silence after which a connection counts as stuck */
    VALUE_LEN = 16,
    MAX_SIZES = 10,
};

typedef struct {
    char *bytes;
    size_t len, capacity;
} Buffer;

typedef struct Scenario {
    const char *name, *group;
    void (*run)(const struct Scenario *, uint64_t repeats);
    uint64_t repeats;        /* N when none is given */
    uint64_t traced_repeats; /* N small enough for counting instructions, or 0 */
    bool memory;             /* memory use is part of the result */
    size_t size;             /* arguments, bytes, elements, commands in a batch, channels, or connections */
    const char *wire;        /* parse: the reply, when it is short */
    void (*compose)(Buffer *, size_t size); /* parse: writes the replies, when they are long */
    size_t piece;                           /* parse: bytes per feed, 0 for all at once */
    uint64_t seconds;                       /* parse: when to give up, truncated; 0 for never */
    size_t value_len;                       /* async: bytes of each value */
    int variant;                            /* which function is called, or which way the work is done */
    bool tcp;                               /* over TCP on 127.0.0.1, not a unix socket */
} Scenario;

/* The same work at several sizes. What one unit of it costs should not depend on the size. */
typedef struct Growth {
    const char *name, *unit, *size_unit;
    void (*run)(const struct Growth *, size_t size, uint64_t repeats);
    bool kernel; /* the kernel's part matters: instructions say nothing */
    int variant;
    size_t sizes[MAX_SIZES]; /* ascending, up to a 0 */
} Growth;

#define CHECK(condition) ((condition) ? (void)0 : die("%s:%d: not so: %s", __FILE__, __LINE__, #condition))

_Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...);
void *allocate(size_t size);

/* ---- measure.c ---- */

typedef struct {
    uint64_t wall_ns, cpu_ns, ops;
    long start_kib, peak_kib;
    double item_bytes, item_cpu_ns; /* what each subscription or connection took */
    bool truncated;
} Result;
extern Result result;

uint64_t clock_ns(clockid_t clock);
long resident_kib(void);
void measure_begin(void);
void measure_end(uint64_t ops);

/* ---- resp.c: RESP, written independently of the library, and the checks of replies ---- */

void append(Buffer *buffer, const void *bytes, size_t len);
__attribute__((format(printf, 2, 3))) void append_format(Buffer *buffer, const char *format, ...);
void append_bulk(Buffer *buffer, const char *bytes, size_t len);

/* Printable bytes whose period is prime, so that a shifted or repeated block shows. */
char *pattern(size_t len);

void compose_bulk(Buffer *wire, size_t size);
void compose_line(Buffer *wire, size_t size);
void compose_strings(Buffer *wire, size_t size);
void compose_integers(Buffer *wire, size_t size);
void compose_pipeline(Buffer *wire, size_t size);

/* Writes a reply back as RESP: the full check that nothing was lost or changed. */
void append_reply(Buffer *wire, const redisReply *reply);

/* The cheap check, made on every reply. */
uint64_t mix(uint64_t hash, uint64_t value);
uint64_t digest(const redisReply *reply);
uint64_t digest_of_text(int type, const char *text, size_t len);

/* ---- responder.c: the other end of the connection, a forked process ---- */

typedef struct {
    Buffer request, reply;
} Step;

typedef struct {
    Step *steps; /* played in order; the last one repeats */
    size_t count;
    size_t read_size;
    bool keep_open;     /* after one exchange, leave the connection be and accept another */
    bool many;          /* serve all connections at the same time */
    bool tcp;
} Script;

typedef struct {
    char path[96];
    int port; /* 0: a unix socket */
} Address;
extern Address responder;

Step *add_step(Script *script);

/* Forks the responder, then forgets the steps on this side. */
void start_responder(Script *script);
void start_ping_responder(bool keep_open, bool tcp);
void append_get(Buffer *request, size_t id);

/* Answers a batch of GETs, with a push after each `push_every` replies if that isn't 0; returns the
 * digests of the values. */
uint64_t *start_get_responder(const Scenario *scenario, size_t push_every);

/* ---- loop.c: an event loop of one connection ---- */

typedef struct {
    redisAsyncContext *context; /* NULL once the library let go of it */
    struct pollfd wait;
} Loop;

/* Counted by on_reply. */
extern uint64_t replies_received;

void loop_connect(Loop *loop);
void loop_turn(Loop *loop);
void loop_until(Loop *loop, uint64_t replies);
void loop_disconnect(Loop *loop);
redisAsyncContext *connect_async(void);

/* A callback whose private data is the digest to expect. */
void on_reply(redisAsyncContext *context, void *reply, void *expected);

/* ---- the scenarios, a file per group ---- */

enum { FORMAT_PRINTF, FORMAT_ARGV, FORMAT_SDS };
void run_format(const Scenario *scenario, uint64_t repeats);

void run_parse(const Scenario *scenario, uint64_t repeats);

enum { OBJECTS_NONE, OBJECTS_OWN };
void run_objects(const Scenario *scenario, uint64_t repeats);

redisContext *connect_sync(void);
/* Asks for that many keys at once and checks the replies. */
void pipeline(redisContext *context, size_t size, const uint64_t *expected);
void run_sync_roundtrip(const Scenario *scenario, uint64_t repeats);
void run_sync_pipeline(const Scenario *scenario, uint64_t repeats);

enum { SUBMIT_PRINTF, SUBMIT_ARGV, SUBMIT_FORMATTED };
void run_async_gets(const Scenario *scenario, uint64_t repeats);
void run_async_backlog(const Scenario *scenario, uint64_t repeats);

/* SETs in whole hundreds, queued faster than they are taken; they wait in the output buffer. */
void backlog_start(size_t value_len);
void backlog_connect(Loop *loop);
void backlog_play(Loop *loop, const char *value, size_t value_len, uint64_t commands);

void run_push_sync(const Scenario *scenario, uint64_t repeats);
void run_push_async(const Scenario *scenario, uint64_t repeats);

void run_connections(const Scenario *scenario, uint64_t repeats);
void run_many(const Scenario *scenario, uint64_t repeats);

void run_pubsub(const Scenario *scenario, uint64_t repeats);

/* ---- growth.c ---- */

enum { CHANNELS_ORDINARY, CHANNELS_COLLIDING };
extern const Growth growths[];

#endif
