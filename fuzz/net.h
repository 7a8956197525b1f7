/* A network that exists only here: the system calls of the library come to functions of the program,
 * and the input decides what they return. Descriptors are numbers from FIRST_FD on, each used once, so
 * one that is used after it was closed, closed twice or never is a finding. Time stands still but for
 * calls that wait. */
#ifndef HIREDIS_RS_FUZZ_NET_H
#define HIREDIS_RS_FUZZ_NET_H

#include "fuzz.h"

enum net_call {
    NET_SOCKET, NET_CONNECT, NET_BIND, NET_SO_ERROR, NET_NODELAY, NET_REUSEADDR, NET_RCVTIMEO, NET_SNDTIMEO,
    NET_GETFL, NET_SETFL, NET_POLL, NET_RESOLVE, NET_RECV, NET_SEND, NET_CALLS,
};

enum { NET_ANSWERS = 8, NET_UNANSWERED = 40, NET_EPOCH = 1000000 };

struct net {
    uint8_t answers[NET_CALLS][NET_ANSWERS];    /* used in turn; after NET_UNANSWERED calls all is well */
    unsigned calls[NET_CALLS];
    long long now;              /* milliseconds */
    int open, lists;            /* descriptors, and lists of addresses, that are not given back */
    struct text incoming;       /* what the server sends */
    size_t received;
    int ended;                  /* and then it closes */
    struct text sent;           /* what it gets */
};

extern struct net net;

/* From here to net_end calls come here. The answers are all 0, which means success, unless they are
 * taken from the input. */
void net_begin(void);
void net_answers(struct input *in);
void net_end(void);             /* also checks that all is given back */

int net_fd(void);               /* a connected, non-blocking descriptor */
int net_is_open(int fd);
int net_blocks(int fd);

/* What an answer means; a reference asks the same. */
uint8_t net_answer(enum net_call call, unsigned n);
int net_socket_errno(uint8_t answer);       /* 0: success */
int net_connect_errno(uint8_t answer);
int net_option_errno(uint8_t answer);       /* also of fcntl and bind */
int net_so_error(uint8_t answer);           /* -1: getsockopt fails with ENOTSOCK, else SO_ERROR */
int net_resolve_error(uint8_t answer);      /* 0: there are addresses */
int net_addresses(uint8_t answer);
int net_is_numeric(const char *host);       /* AF_INET, AF_INET6 or 0 */
/* How long a poll takes in ms, and its result: 1, 0, -EINTR or -ENOMEM. */
int net_poll_result(uint8_t answer, int timeout, int *took);

#endif
