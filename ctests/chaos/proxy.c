#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"
#include "random.h"

const char *const fault_names[FAULTS] = {
    "unharmed", "cut", "reset", "half-closed to the client", "half-closed to the server",
    "client not read", "server not read", "not read, then reset",
};
const char *const manner_names[MANNERS] = {"at once", "byte by byte", "in pieces", "merged", "delayed"};

enum { MOST_PAIRS = 1000, BUFFER = 32768, NARROW = 4096 };

/* One direction of a connection. */
struct flow {
    int from, to;
    unsigned char buf[BUFFER];
    size_t start, len;
    struct rng rng;
    enum manner manner;
    size_t manner_left, piece_left; /* bytes until the next manner, the next piece */
    size_t fault_in;                /* bytes until the fault, when it happens in this direction */
    int has_fault;
    int64_t hold_until;             /* nothing is written before */
    int64_t stop_until;             /* nothing is read before */
    int eof;                        /* nothing more comes */
    int shut;                       /* nothing more is passed on: bytes are dropped */
    int blocked;                    /* the last write did not take all */
};

/* A client's connection and the one to the server made for it. */
struct pair {
    int client, server;
    struct flow up, down; /* to the server, to the client */
    enum fault fault;
    int64_t stop_us;
    int64_t reset_at; /* 0: no reset is due */
    int way;
    atomic_llong *harmed_at;
    struct pair *next;
};

static struct pair *pairs;
static int pair_count;
static struct proxy_report *report;
static const char *server_path;
static uint64_t seed;
static int listeners[PROXY_WAYS];
static uint64_t accepted[PROXY_WAYS];
static volatile sig_atomic_t told_to_end, told_to_tell;

static void on_signal(int signal) {
    if (signal == SIGTERM) told_to_end = 1;
    else told_to_tell = 1;
}

/* ---- Faults ---- */

static void pair_close(struct pair *p, int reset) {
    struct linger at_once = {1, 0};
    if (p->client < 0) return;
    if (reset) setsockopt(p->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(p->client);
    if (p->server >= 0) close(p->server);
    p->client = p->server = -1;
}

static void harm(struct pair *p) {
    atomic_store(p->harmed_at, now_us());
}

static void strike(struct pair *p) {
    int64_t until = now_us() + p->stop_us;
    report->faults[p->fault]++;
    switch (p->fault) {
    case FAULT_CUT:
    case FAULT_RESET:
        harm(p);
        pair_close(p, p->fault == FAULT_RESET);
        break;
    case FAULT_HALF_DOWN:
        harm(p);
        shutdown(p->client, SHUT_WR);
        p->down.shut = 1;
        break;
    case FAULT_HALF_UP:
        harm(p);
        shutdown(p->server, SHUT_WR);
        p->up.shut = 1;
        break;
    case FAULT_STOP_UP:
        p->up.stop_until = until;
        break;
    case FAULT_STOP_DOWN:
        p->down.stop_until = until;
        break;
    case FAULT_STOP_RESET:
        p->up.stop_until = p->down.stop_until = until + 1000000;
        p->reset_at = until;
        break;
    default:
        break;
    }
}

/* Which fault, in which direction, after how many bytes. */
static void plan(struct pair *p, struct rng *r) {
    static const unsigned char shares[FAULTS] = {25, 18, 18, 8, 8, 9, 9, 5};
    size_t draw = rng_below(r, 100);
    int fault = FAULT_NONE;
    while (draw >= shares[fault]) draw -= shares[fault++];
    p->fault = (enum fault)fault;
    /* A unix socket knows no reset. */
    if (p->way == PROXY_UNIX && p->fault == FAULT_RESET) p->fault = FAULT_CUT;
    p->stop_us = 100000 + (int64_t)rng_size(r, 22);

    int upward = (int)rng_below(r, 2);
    if (p->fault == FAULT_HALF_UP || p->fault == FAULT_STOP_UP) upward = 1;
    if (p->fault == FAULT_HALF_DOWN || p->fault == FAULT_STOP_DOWN) upward = 0;
    struct flow *f = upward ? &p->up : &p->down;
    f->has_fault = p->fault != FAULT_NONE;
    f->fault_in = rng_percent(r, 15) ? 0 : rng_size(r, 19);
    if (p->fault == FAULT_NONE) report->faults[FAULT_NONE]++;
}

/* ---- One direction ---- */

static void choose_manner(struct flow *f) {
    static const unsigned char shares[MANNERS] = {45, 12, 18, 15, 10};
    size_t draw = rng_below(&f->rng, 100);
    int manner = 0;
    while (draw >= shares[manner]) draw -= shares[manner++];
    f->manner = (enum manner)manner;
    f->manner_left = rng_size(&f->rng, manner == MANNER_BYTES ? 8 : manner == MANNER_PIECES ? 12 : 17);
    f->piece_left = 0;
    if (manner == MANNER_MERGE) f->hold_until = now_us() + (int64_t)rng_between(&f->rng, 1000, 8000);
    if (manner == MANNER_DELAY) f->hold_until = now_us() + (int64_t)rng_between(&f->rng, 2000, 40000);
    report->manners[manner]++;
}

/* How much may be written in one go. */
static size_t next_piece(struct flow *f) {
    if (f->piece_left == 0) {
        f->piece_left = f->manner == MANNER_BYTES    ? 1
                        : f->manner == MANNER_PIECES ? rng_between(&f->rng, 1, 200)
                                                     : f->manner_left;
    }
    size_t n = f->len;
    if (n > f->manner_left) n = f->manner_left;
    if (n > f->piece_left) n = f->piece_left;
    if (f->has_fault && n > f->fault_in) n = f->fault_in;
    return n;
}

static void flow_took(struct flow *f, size_t n) {
    f->start += n;
    f->len -= n;
    if (f->len == 0) f->start = 0;
    f->manner_left -= n;
    f->piece_left -= n;
    if (f->has_fault) f->fault_in -= n;
    report->bytes += n;
}

/* Passes on one piece, if it is time. Returns 0 when the receiver is gone. */
static int flow_write(struct flow *f, int64_t now) {
    f->blocked = 0;
    if (f->shut) {
        f->start = f->len = 0;
        return 1;
    }
    if (f->len == 0) return 1;
    if (f->manner_left == 0) choose_manner(f);
    if (f->hold_until > now) return 1;
    size_t most = next_piece(f);
    ssize_t n = send(f->to, f->buf + f->start, most, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
    if (n < (ssize_t)most) f->blocked = 1;
    if (n > 0) flow_took(f, (size_t)n);
    return 1;
}

/* Takes what there is. Returns 0 when the sender is gone by an error. */
static int flow_read(struct flow *f) {
    if (f->start > 0) {
        memmove(f->buf, f->buf + f->start, f->len);
        f->start = 0;
    }
    ssize_t n = recv(f->from, f->buf + f->len, BUFFER - f->len, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) f->eof = 1;
    f->len += (size_t)n;
    return 1;
}

static int flow_wants_read(const struct flow *f, int64_t now) {
    return !f->eof && f->len < BUFFER && f->stop_until <= now;
}

/* ---- Both ---- */

static void pair_step(struct pair *p, int client_events, int server_events) {
    int64_t now = now_us();
    if (p->reset_at != 0 && p->reset_at <= now) {
        harm(p);
        pair_close(p, 1);
        return;
    }
    if (client_events && flow_wants_read(&p->up, now) && !flow_read(&p->up)) {
        pair_close(p, 0);
        return;
    }
    /* To the client a server that is gone by an error looks like one that closed. */
    if (server_events && flow_wants_read(&p->down, now) && !flow_read(&p->down)) p->down.eof = 1;

    struct flow *flows[2] = {&p->up, &p->down};
    for (int i = 0; i < 2; i++) {
        struct flow *f = flows[i];
        if (!flow_write(f, now)) {
            if (f == &p->down) {
                pair_close(p, 0);
                return;
            }
            f->shut = 1;
        }
        if (f->has_fault && f->fault_in == 0) {
            f->has_fault = 0;
            strike(p);
            if (p->client < 0) return;
        }
        if (f->eof && f->len == 0 && !f->shut) {
            shutdown(f->to, SHUT_WR);
            f->shut = 1;
        }
    }
    if (p->up.eof && p->down.eof && p->up.len == 0 && p->down.len == 0) pair_close(p, 0);
}

static int connect_server(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", server_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void pair_open(int way, int client, int port) {
    uint64_t number = accepted[way]++;
    struct rng r = rng_of(seed, 'p' + (uint64_t)way, number);
    struct pair *p = calloc(1, sizeof(*p));
    int on = 1;
    if (p == NULL) abort();
    p->way = way;
    p->client = client;
    p->server = connect_server();
    p->harmed_at = &report->harmed_at[way][way == PROXY_UNIX ? number % PROXY_SLOTS : (size_t)port];
    if (way != PROXY_UNIX) setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    report->accepted++;
    p->up.from = p->down.to = client;
    p->up.to = p->down.from = p->server;
    p->up.rng = rng_of(seed, 'u' + (uint64_t)way * 8, number);
    p->down.rng = rng_of(seed, 'd' + (uint64_t)way * 8, number);
    p->next = pairs;
    pairs = p;
    pair_count++;
    if (p->server < 0) {
        report->unserved++;
        harm(p);
        pair_close(p, 0);
        return;
    }
    plan(p, &r);
}

static void accept_all(int way) {
    struct sockaddr_in a;
    while (pair_count < MOST_PAIRS) {
        socklen_t len = sizeof(a);
        int fd = accept4(listeners[way], (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        pair_open(way, fd, way == PROXY_UNIX ? 0 : ntohs(a.sin_port));
    }
}

static void drop_closed(void) {
    for (struct pair **at = &pairs; *at != NULL;) {
        struct pair *p = *at;
        if (p->client >= 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        pair_count--;
        free(p);
    }
}

/* What a direction waits for: events, or a time before `*wake`. */
static void flow_interest(const struct flow *f, int64_t now, struct pollfd *from, struct pollfd *to,
                          int64_t *wake) {
    if (flow_wants_read(f, now)) from->events |= POLLIN;
    else if (!f->eof && f->stop_until > now && f->stop_until < *wake) *wake = f->stop_until;
    if (f->len == 0 && !(f->has_fault && f->fault_in == 0)) return;
    if (f->blocked) to->events |= POLLOUT;
    else if (f->hold_until < *wake) *wake = f->hold_until;
}

static void turn(void) {
    static struct pollfd fds[PROXY_WAYS + 2 * MOST_PAIRS];
    int64_t now = now_us(), wake = now + 1000000;
    nfds_t n = 0;
    for (int way = 0; way < PROXY_WAYS; way++)
        fds[n++] = (struct pollfd){pair_count < MOST_PAIRS ? listeners[way] : -1, POLLIN, 0};
    for (struct pair *p = pairs; p != NULL; p = p->next, n += 2) {
        struct pollfd client = {p->client, 0, 0}, server = {p->server, 0, 0};
        flow_interest(&p->up, now, &client, &server, &wake);
        flow_interest(&p->down, now, &server, &client, &wake);
        if (p->reset_at != 0 && p->reset_at < wake) wake = p->reset_at;
        /* A hang-up is reported even when nothing is asked for, again and again. */
        if (client.events == 0) client.fd = -1;
        if (server.events == 0) server.fd = -1;
        fds[n] = client;
        fds[n + 1] = server;
    }
    poll(fds, n, wake <= now ? 0 : (int)((wake - now + 999) / 1000));
    n = PROXY_WAYS;
    for (struct pair *p = pairs; p != NULL; p = p->next, n += 2)
        pair_step(p, fds[n].revents & ~POLLOUT, fds[n + 1].revents & ~POLLOUT);
    drop_closed();
    for (int way = 0; way < PROXY_WAYS; way++)
        if (fds[way].revents) accept_all(way);
}

static void tell_flow(const char *name, const struct flow *f, int64_t now) {
    printf(", %s: %zu bytes held for %lld us, not read for %lld us, %s%s%s%s", name, f->len,
           (long long)(f->hold_until > now ? f->hold_until - now : 0),
           (long long)(f->stop_until > now ? f->stop_until - now : 0), manner_names[f->manner],
           f->eof ? ", ended" : "", f->shut ? ", shut" : "", f->blocked ? ", blocked" : "");
}

static void tell_pairs(void) {
    int64_t now = now_us();
    for (const struct pair *p = pairs; p != NULL; p = p->next) {
        printf("     proxy: way %d, slot %td, %s", p->way, p->harmed_at - report->harmed_at[p->way],
               fault_names[p->fault]);
        tell_flow("up", &p->up, now);
        tell_flow("down", &p->down, now);
        printf("\n");
    }
    fflush(stdout);
    told_to_tell = 0;
}

static void serve(pid_t parent) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    /* Not without the client. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(0);
    while (!told_to_end) {
        turn();
        if (told_to_tell) tell_pairs();
    }
    _exit(0);
}

/* ---- Starting and ending ---- */

static int listen_tcp(int *port, int narrow, int listening) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    int size = NARROW;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    /* Inherited by what is accepted. */
    if (narrow) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || (listening && listen(fd, 4096) != 0) ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static int listen_unix(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 4096) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int proxy_start(struct proxy *p, uint64_t with_seed, const char *server, const char *dir) {
    p->report = mmap(NULL, sizeof(*p->report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->report == MAP_FAILED) return 0;
    if (snprintf(p->path, sizeof(p->path), "%s/proxy.sock", dir) >= (int)sizeof(p->path)) return 0;
    unlink(p->path);
    listeners[PROXY_TCP] = listen_tcp(&p->port[PROXY_TCP], 0, 1);
    listeners[PROXY_TCP_NARROW] = listen_tcp(&p->port[PROXY_TCP_NARROW], 1, 1);
    listeners[PROXY_UNIX] = listen_unix(p->path);
    /* Bound but not listening: nobody else gets the port, and who connects is refused. */
    int closed = listen_tcp(&p->closed_port, 0, 0);
    if (closed < 0) return 0;
    for (int way = 0; way < PROXY_WAYS; way++)
        if (listeners[way] < 0) return 0;
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid < 0) return 0;
    if (p->pid == 0) {
        report = p->report;
        server_path = server;
        seed = with_seed;
        serve(parent);
    }
    for (int way = 0; way < PROXY_WAYS; way++) close(listeners[way]);
    close(closed);
    return 1;
}

void proxy_tell(const struct proxy *p) {
    kill(p->pid, SIGUSR1);
    usleep(200000);
}

void proxy_stop(struct proxy *p) {
    kill(p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    unlink(p->path);
}

void proxy_forget(struct proxy *p) {
    munmap(p->report, sizeof(*p->report));
}
