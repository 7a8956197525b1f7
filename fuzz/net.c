#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_FD = 100000, MOST_FDS = 4096 };

struct net net;

static int on;
static struct fd {
    int open, flags;
} fds[MOST_FDS];
static int used;

static struct fd *fd_of(int fd, const char *call) {
    if (!on) FAIL("%s although no network is there", call);
    if (fd < FIRST_FD || fd >= FIRST_FD + used)
        FAIL("%s of descriptor %d, which is not the library's", call, fd);
    if (!fds[fd - FIRST_FD].open) FAIL("%s of a closed descriptor", call);
    return &fds[fd - FIRST_FD];
}

static int new_fd(int flags) {
    if (used == MOST_FDS) FAIL("no end of sockets");
    fds[used].open = 1;
    fds[used].flags = flags;
    net.open++;
    return FIRST_FD + used++;
}

int net_fd(void) {
    return new_fd(O_NONBLOCK);
}

int net_is_open(int fd) {
    return fd >= FIRST_FD && fd < FIRST_FD + used && fds[fd - FIRST_FD].open;
}

int net_blocks(int fd) {
    return !(fds[fd - FIRST_FD].flags & O_NONBLOCK);
}

void net_begin(void) {
    struct text incoming = net.incoming, sent = net.sent;
    memset(&net, 0, sizeof(net));
    net.incoming = incoming;
    net.sent = sent;
    text_clear(&net.incoming);
    text_clear(&net.sent);
    text_add(&net.incoming, "", 0);
    text_add(&net.sent, "", 0);
    net.now = NET_EPOCH;
    used = 0;
    on = 1;
}

void net_answers(struct input *in) {
    for (int call = 0; call < NET_CALLS; call++)
        for (int i = 0; i < NET_ANSWERS; i++) net.answers[call][i] = in_byte(in);
}

void net_end(void) {
    on = 0;
    if (net.open != 0) FAIL("%d descriptors are left open", net.open);
    if (net.lists != 0) FAIL("%d lists of addresses are left", net.lists);
}

/* ---- What the answers mean -------------------------------------------------------------- */

uint8_t net_answer(enum net_call call, unsigned n) {
    return n < NET_UNANSWERED ? net.answers[call][n % NET_ANSWERS] : 0;
}

static uint8_t answer(enum net_call call) {
    return net_answer(call, net.calls[call]++);
}

int net_socket_errno(uint8_t a) {
    static const int errors[] = {EMFILE, EAFNOSUPPORT, ENOBUFS, EACCES};
    return a < 224 ? 0 : errors[a % 4];
}

int net_connect_errno(uint8_t a) {
    static const int errors[] = {
        0, EINPROGRESS, EINPROGRESS, EINPROGRESS, EINPROGRESS, ECONNREFUSED, EHOSTUNREACH, EADDRNOTAVAIL,
        EAGAIN, EALREADY, EISCONN, EINTR, ENETUNREACH, ETIMEDOUT, ENOENT, EADDRNOTAVAIL,
    };
    return errors[a % 16];
}

int net_option_errno(uint8_t a) {
    static const int errors[] = {EINVAL, EADDRINUSE, EBADF, EDOM};
    return a < 232 ? 0 : errors[a % 4];
}

int net_so_error(uint8_t a) {
    static const int errors[] = {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ECONNRESET};
    return a < 128 ? 0 : a < 248 ? errors[a % 4] : -1;
}

int net_resolve_error(uint8_t a) {
    static const int errors[] = {EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_MEMORY};
    return a < 192 ? 0 : errors[a % 4];
}

int net_addresses(uint8_t a) {
    return 1 + a % 4;
}

int net_is_numeric(const char *host) {
    unsigned char buf[16];
    return inet_pton(AF_INET, host, buf) == 1 ? AF_INET : inet_pton(AF_INET6, host, buf) == 1 ? AF_INET6 : 0;
}

int net_poll_result(uint8_t a, int timeout, int *took) {
    *took = a < 192 ? a % 32 : a < 240 ? 1 + a % 16 : 0;
    if (a >= 240) return -ENOMEM;
    if (timeout >= 0 && (*took > timeout || (a >= 128 && a < 192))) {
        *took = timeout;
        return 0;
    }
    return a < 192 ? 1 : -EINTR;
}

/* ---- System calls ------------------------------------------------------------------------- */

static int result(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}

/* Under other names in C, because the headers' own declarations differ between C libraries. */
int net_socket(int domain, int type, int protocol) __asm__("socket");
int net_connect(int fd, const struct sockaddr *to, socklen_t len) __asm__("connect");
int net_bind(int fd, const struct sockaddr *to, socklen_t len) __asm__("bind");
int net_getsockopt(int fd, int level, int name, void *value, socklen_t *len) __asm__("getsockopt");
int net_setsockopt(int fd, int level, int name, const void *value, socklen_t len) __asm__("setsockopt");
int net_fcntl(int fd, int command, ...) __asm__("fcntl");
int net_poll(struct pollfd *list, nfds_t n, int ms) __asm__("poll");
ssize_t net_recv(int fd, void *buf, size_t cap, int flags) __asm__("recv");
ssize_t net_send(int fd, const void *buf, size_t len, int flags) __asm__("send");
int net_close(int fd) __asm__("close");
int net_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **found) __asm__("getaddrinfo");
void net_freeaddrinfo(struct addrinfo *list) __asm__("freeaddrinfo");
int net_clock_gettime(clockid_t clock, struct timespec *t) __asm__("clock_gettime");
int net_getentropy(void *buf, size_t len) __asm__("getentropy");

int net_socket(int domain, int type, int protocol) {
    if (!on) FAIL("socket although no network is there");
    CHECK(domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
    CHECK(type & SOCK_NONBLOCK);
    CHECK_INT(protocol, 0);
    int error = net_socket_errno(answer(NET_SOCKET));
    return error ? result(error) : new_fd(O_NONBLOCK);
}

int net_connect(int fd, const struct sockaddr *to, socklen_t len) {
    struct fd *f = fd_of(fd, "connect");
    CHECK(to != NULL && len >= sizeof(to->sa_family) && len <= sizeof(struct sockaddr_storage));
    int error = net_connect_errno(answer(NET_CONNECT));
    /* A blocking one waits before it gives up. */
    if (!(f->flags & O_NONBLOCK)) net.now += error == EAGAIN ? 5 : error == EINTR ? 1 : 0;
    return result(error);
}

int net_bind(int fd, const struct sockaddr *to, socklen_t len) {
    fd_of(fd, "bind");
    CHECK(to != NULL && len > 0);
    return result(net_option_errno(answer(NET_BIND)));
}

int net_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    fd_of(fd, "getsockopt");
    CHECK(level == SOL_SOCKET && name == SO_ERROR && *len == sizeof(int));
    int error = net_so_error(answer(NET_SO_ERROR));
    if (error < 0) return result(ENOTSOCK);
    memcpy(value, &error, sizeof(error));
    return 0;
}

int net_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    fd_of(fd, "setsockopt");
    CHECK(value != NULL && len > 0);
    if (level == IPPROTO_TCP && name == TCP_NODELAY) return result(net_option_errno(answer(NET_NODELAY)));
    CHECK_INT(level, SOL_SOCKET);
    switch (name) {
    case SO_REUSEADDR: return result(net_option_errno(answer(NET_REUSEADDR)));
    case SO_RCVTIMEO: return result(net_option_errno(answer(NET_RCVTIMEO)));
    case SO_SNDTIMEO: return result(net_option_errno(answer(NET_SNDTIMEO)));
    default: FAIL("setsockopt of %d", name);
    }
}

int net_fcntl(int fd, int command, ...) {
    va_list ap;
    va_start(ap, command);
    long argument = va_arg(ap, long);
    va_end(ap);
    if (fd < FIRST_FD) return (int)syscall(SYS_fcntl, fd, command, argument);
    struct fd *f = fd_of(fd, "fcntl");
    if (command == F_GETFL) {
        int error = net_option_errno(answer(NET_GETFL));
        return error ? result(error) : f->flags;
    }
    CHECK_INT(command, F_SETFL);
    int error = net_option_errno(answer(NET_SETFL));
    if (error == 0) f->flags = (int)argument;
    return result(error);
}

int net_poll(struct pollfd *list, nfds_t n, int ms) {
    if (!on) return (int)syscall(SYS_poll, list, n, ms);
    if (n == 0) {
        net.now += ms;
        return 0;
    }
    CHECK_INT(n, 1);
    fd_of(list->fd, "poll");
    int took, got = net_poll_result(answer(NET_POLL), ms, &took);
    net.now += took;
    if (got < 0) return result(-got);
    list->revents = got ? list->events : 0;
    return got;
}

ssize_t net_recv(int fd, void *buf, size_t cap, int flags) {
    struct fd *f = fd_of(fd, "recv");
    int now = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
    uint8_t a = answer(NET_RECV);
    size_t left = net.incoming.len - net.received, n = a < 200 || a >= 250 ? left : a - 199u;
    if (a >= 254) return result(a == 254 ? ECONNRESET : EINTR);
    if (a >= 250 && now) return result(a < 252 ? EAGAIN : EINTR);
    if (n > left) n = left;
    if (n > cap) n = cap;
    if (n == 0) {
        if (net.ended || left > 0) return 0;
        if (!now) FAIL("a receive that waits for ever");
        return result(EAGAIN);
    }
    memcpy(buf, net.incoming.p + net.received, n);
    net.received += n;
    return (ssize_t)n;
}

ssize_t net_send(int fd, const void *buf, size_t len, int flags) {
    struct fd *f = fd_of(fd, "send");
    int now = (f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
    uint8_t a = answer(NET_SEND);
    CHECK(flags & MSG_NOSIGNAL);
    if (a >= 254) return result(a == 254 ? EPIPE : EINTR);
    if (a >= 250 && now) return result(a < 252 ? EAGAIN : EINTR);
    size_t n = a < 200 || a >= 250 || a - 199u > len ? len : a - 199u;
    text_add(&net.sent, buf, n);
    return (ssize_t)n;
}

int net_close(int fd) {
    if (fd < FIRST_FD) return (int)syscall(SYS_close, fd);
    fd_of(fd, "close")->open = 0;
    net.open--;
    return 0;
}

int net_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **found) {
    int family = net_is_numeric(node), n = 1;
    if (!on) FAIL("getaddrinfo although no network is there");
    CHECK_INT(hints->ai_socktype, SOCK_STREAM);
    if (hints->ai_flags & AI_NUMERICHOST) {
        if (family == 0) return EAI_NONAME;
        if (hints->ai_family != AF_UNSPEC && hints->ai_family != family) return EAI_ADDRFAMILY;
    } else {
        if (family != 0 && service != NULL) FAIL("the resolver was asked for %s", node);
        uint8_t a = answer(NET_RESOLVE);
        if (net_resolve_error(a)) return net_resolve_error(a);
        n = net_addresses(a);
    }
    *found = NULL;
    while (n-- > 0) {
        struct {
            struct addrinfo info;
            struct sockaddr_storage address;
        } *entry = calloc(1, sizeof(*entry));
        if (entry == NULL) abort();
        int any6 = family ? family == AF_INET6 : n & 1;
        int is6 = hints->ai_family == AF_UNSPEC ? any6 : hints->ai_family == AF_INET6;
        entry->info.ai_family = entry->address.ss_family = is6 ? AF_INET6 : AF_INET;
        entry->info.ai_socktype = SOCK_STREAM;
        entry->info.ai_addr = (struct sockaddr *)&entry->address;
        entry->info.ai_addrlen = is6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        entry->info.ai_next = *found;
        *found = &entry->info;
    }
    net.lists++;
    return 0;
}

void net_freeaddrinfo(struct addrinfo *list) {
    CHECK(list != NULL);
    net.lists--;
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

int net_clock_gettime(clockid_t clock, struct timespec *t) {
    if (!on || clock != CLOCK_MONOTONIC) return (int)syscall(SYS_clock_gettime, clock, t);
    t->tv_sec = net.now / 1000;
    t->tv_nsec = net.now % 1000 * 1000000;
    return 0;
}

/* An input plays the same way each time. */
int net_getentropy(void *buf, size_t len) {
    memset(buf, 42, len);
    return 0;
}
