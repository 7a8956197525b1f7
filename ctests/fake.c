#include "fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

enum { WAIT_MS = 20000 };

enum kind {
    ACCEPT, EXPECT, EXPECT_EOF, DRAIN, DRAIN_ALL, SEND, DRIP, SLEEP, SHUTDOWN, CLOSE, RESET, STOP_LISTENING,
    WAIT, MARK, BUFFER
};

static const char *const kind_name[] = {
    "accept", "expect", "expect eof", "drain", "drain all", "send", "drip", "sleep", "shutdown", "close",
    "reset", "stop listening", "wait", "mark", "buffer"
};

struct step {
    enum kind kind;
    char *bytes;
    size_t len;
    int number;
};

struct fake {
    int listener, fd, port;
    char path[108];
    struct step *step;
    size_t steps, room;
    int buffer, started;
    pthread_t thread;
    sem_t go, mark;
    char error[600];
};

/* ---- sockets ---- */

static void loopback(struct sockaddr_in *sa, int port) {
    memset(sa, 0, sizeof *sa);
    sa->sin_family = AF_INET;
    sa->sin_port = htons((unsigned short)port);
    sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int bind_loopback(int *port) {
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    loopback(&sa, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        FAIL("cannot bind to 127.0.0.1: %s", strerror(errno));
    *port = ntohs(sa.sin_port);
    return fd;
}

int hand_listen_unix(char *path, size_t cap, int backlog) {
    static int count;
    struct sockaddr_un sa;
    const char *dir = getenv("TEST_TMP");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;

    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    n = snprintf(sa.sun_path, sizeof sa.sun_path, "%s/fake.%ld.%d", dir ? dir : "/tmp", (long)getpid(),
                 ++count);
    if (n < 0 || (size_t)n >= sizeof sa.sun_path || (size_t)n >= cap)
        FAIL("the path of the tests' directory is too long for a unix socket");
    unlink(sa.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, backlog) < 0)
        FAIL("cannot listen on %s: %s", sa.sun_path, strerror(errno));
    memcpy(path, sa.sun_path, (size_t)n + 1);
    return fd;
}

int hand_listen_tcp(int *port, int backlog) {
    int fd = bind_loopback(port);

    if (listen(fd, backlog) < 0)
        FAIL("cannot listen on 127.0.0.1:%d: %s", *port, strerror(errno));
    return fd;
}

int hand_dead_port(int *fd) {
    int port;

    *fd = bind_loopback(&port);
    return port;
}

void hand_pair(int fd[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
        FAIL("socketpair: %s", strerror(errno));
}

/* 1 when fd has one of the events (or an error or hang-up), 0 when the wait was in vain. */
static int wait_for(int fd, short events, int ms) {
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int accept_within(int listener, int ms) {
    int fd;

    if (!wait_for(listener, POLLIN, ms)) {
        errno = ETIMEDOUT;
        return -1;
    }
    do
        fd = accept(listener, NULL, NULL);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Bytes read, 0 at the end of the stream, -1 with errno. */
static ssize_t read_within(int fd, char *buf, size_t cap, int ms) {
    ssize_t n;

    if (!wait_for(fd, POLLIN, ms)) {
        errno = ETIMEDOUT;
        return -1;
    }
    do
        n = recv(fd, buf, cap, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static int send_all(int fd, const char *p, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(fd, POLLOUT, WAIT_MS)) {
                errno = ETIMEDOUT;
                return -1;
            }
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

static void close_with_reset(int fd) {
    struct linger l = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(fd);
}

/* Bytes as a message can show them; the text is cut to fit. */
static const char *show(char *out, size_t cap, const char *p, size_t len) {
    size_t o = 0;

    for (size_t i = 0; i < len && o + 8 < cap; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c == '\r' || c == '\n') {
            out[o++] = '\\';
            out[o++] = c == '\r' ? 'r' : 'n';
        } else if (c >= 0x20 && c < 0x7f) {
            out[o++] = (char)c;
        } else {
            o += (size_t)snprintf(out + o, cap - o, "\\x%02x", c);
        }
    }
    if (o + 8 >= cap)
        o += (size_t)snprintf(out + o, cap - o, "...");
    out[o] = '\0';
    return out;
}

/* ---- by hand ---- */

int hand_accept(int listener) {
    int fd = accept_within(listener, WAIT_MS);

    if (fd < 0)
        FAIL("accept: %s", strerror(errno));
    return fd;
}

void hand_send(int fd, const void *bytes, size_t len) {
    if (send_all(fd, bytes, len) < 0)
        FAIL("the server's send failed: %s", strerror(errno));
}

void hand_send_str(int fd, const char *text) {
    hand_send(fd, text, strlen(text));
}

/* Reads len bytes and compares; 0, or -1 with a message. */
static int expect(int fd, const char *want, size_t len, char *error, size_t cap) {
    char *got = malloc(len + 1), a[200], b[200];
    size_t have = 0;
    int bad = 0;

    while (have < len && !bad) {
        ssize_t n = read_within(fd, got + have, len - have, WAIT_MS);

        if (n <= 0) {
            snprintf(error, cap, "wanted \"%s\", got \"%s\" and then %s", show(a, sizeof a, want, len),
                     show(b, sizeof b, got, have), n == 0 ? "the end of the stream" : strerror(errno));
            bad = 1;
            break;
        }
        have += (size_t)n;
        if (memcmp(got, want, have) != 0) {
            snprintf(error, cap, "wanted \"%s\", got \"%s\"", show(a, sizeof a, want, len),
                     show(b, sizeof b, got, have));
            bad = 1;
        }
    }
    free(got);
    return bad ? -1 : 0;
}

void hand_expect(int fd, const void *bytes, size_t len) {
    char error[600];

    if (expect(fd, bytes, len, error, sizeof error) < 0)
        FAIL("the server %s", error);
}

void hand_expect_str(int fd, const char *text) {
    hand_expect(fd, text, strlen(text));
}

static int expect_eof(int fd, char *error, size_t cap) {
    char buf[200], shown[200];
    ssize_t n = read_within(fd, buf, sizeof buf, WAIT_MS);

    if (n == 0)
        return 0;
    if (n > 0)
        snprintf(error, cap, "wanted the end of the stream, got \"%s\"",
                 show(shown, sizeof shown, buf, (size_t)n));
    else
        snprintf(error, cap, "wanted the end of the stream, got %s", strerror(errno));
    return -1;
}

void hand_expect_eof(int fd) {
    char error[600];

    if (expect_eof(fd, error, sizeof error) < 0)
        FAIL("the server %s", error);
}

size_t hand_read_now(int fd, char *buf, size_t cap) {
    size_t have = 0;

    while (have < cap) {
        ssize_t n = recv(fd, buf + have, cap - have, MSG_DONTWAIT);

        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return have;
}

void hand_expect_quiet(int fd) {
    char buf[200], shown[200];
    ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n > 0)
        FAIL("the server wanted nothing, got \"%s\"", show(shown, sizeof shown, buf, (size_t)n));
    if (n == 0)
        FAIL("the server wanted nothing, got the end of the stream");
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        FAIL("the server wanted nothing, got %s", strerror(errno));
}

void hand_reset(int fd) {
    close_with_reset(fd);
}

size_t hand_fill_unix(const char *path, int *fd, size_t max) {
    struct sockaddr_un sa;
    size_t n = 0;

    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    while (n < max) {
        fd[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd[n] < 0)
            FAIL("socket: %s", strerror(errno));
        if (connect(fd[n], (struct sockaddr *)&sa, sizeof sa) == 0) {
            n++;
            continue;
        }
        if (errno != EAGAIN)
            FAIL("cannot fill the queue of %s: %s", path, strerror(errno));
        close(fd[n]);
        return n;
    }
    FAIL("the queue of %s does not fill up", path);
}

size_t hand_fill_tcp(int port, int *fd, size_t max) {
    struct sockaddr_in sa;
    size_t n = 0;

    loopback(&sa, port);
    while (n < max) {
        fd[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd[n] < 0)
            FAIL("socket: %s", strerror(errno));
        if (connect(fd[n], (struct sockaddr *)&sa, sizeof sa) < 0) {
            if (errno != EINPROGRESS)
                FAIL("cannot fill the queue of port %d: %s", port, strerror(errno));
            /* On the loopback device an answer comes at once or not at all. */
            if (!wait_for(fd[n], POLLOUT, 200))
                return n + 1;
        }
        n++;
    }
    FAIL("the queue of port %d does not fill up", port);
}

int hand_stuck_port(void) {
    int fd[64], port;

    hand_listen_tcp(&port, 0);
    hand_fill_tcp(port, fd, 64);
    return port;
}

/* ---- scripts ---- */

static fake *fake_make(void) {
    fake *f = calloc(1, sizeof *f);

    if (f == NULL || sem_init(&f->go, 0, 0) < 0 || sem_init(&f->mark, 0, 0) < 0)
        FAIL("no memory for a server");
    f->fd = f->listener = -1;
    return f;
}

fake *fake_new_with_backlog(int backlog) {
    fake *f = fake_make();

    f->listener = hand_listen_unix(f->path, sizeof f->path, backlog);
    return f;
}

fake *fake_new(void) {
    return fake_new_with_backlog(64);
}

fake *fake_new_tcp(void) {
    fake *f = fake_make();

    f->listener = hand_listen_tcp(&f->port, 64);
    return f;
}

const char *fake_path(const fake *f) {
    return f->path;
}

int fake_port(const fake *f) {
    return f->port;
}

static void add(fake *f, enum kind kind, const void *bytes, size_t len, int number) {
    struct step *s;

    if (f->steps == f->room) {
        f->room = f->room * 2 + 16;
        f->step = realloc(f->step, f->room * sizeof *f->step);
        if (f->step == NULL)
            FAIL("no memory for a script");
    }
    s = &f->step[f->steps++];
    s->kind = kind;
    s->len = len;
    s->number = number;
    s->bytes = NULL;
    if (bytes != NULL) {
        s->bytes = malloc(len + 1);
        if (s->bytes == NULL)
            FAIL("no memory for a script");
        memcpy(s->bytes, bytes, len);
    }
}

void fake_accept(fake *f) { add(f, ACCEPT, NULL, 0, 0); }
void fake_expect(fake *f, const void *bytes, size_t len) { add(f, EXPECT, bytes, len, 0); }
void fake_expect_str(fake *f, const char *text) { add(f, EXPECT, text, strlen(text), 0); }
void fake_expect_eof(fake *f) { add(f, EXPECT_EOF, NULL, 0, 0); }
void fake_drain(fake *f, size_t len) { add(f, DRAIN, NULL, len, 0); }
void fake_drain_all(fake *f) { add(f, DRAIN_ALL, NULL, 0, 0); }
void fake_send(fake *f, const void *bytes, size_t len) { add(f, SEND, bytes, len, 0); }
void fake_send_str(fake *f, const char *text) { add(f, SEND, text, strlen(text), 0); }
void fake_drip(fake *f, const void *bytes, size_t len, int ms) { add(f, DRIP, bytes, len, ms); }
void fake_sleep(fake *f, int ms) { add(f, SLEEP, NULL, 0, ms); }
void fake_shutdown(fake *f) { add(f, SHUTDOWN, NULL, 0, 0); }
void fake_close(fake *f) { add(f, CLOSE, NULL, 0, 0); }
void fake_reset(fake *f) { add(f, RESET, NULL, 0, 0); }
void fake_stop_listening(fake *f) { add(f, STOP_LISTENING, NULL, 0, 0); }
void fake_wait(fake *f) { add(f, WAIT, NULL, 0, 0); }
void fake_mark(fake *f) { add(f, MARK, NULL, 0, 0); }
void fake_buffer(fake *f, int bytes) { add(f, BUFFER, NULL, 0, bytes); }

static void sleep_ms(int ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static int sem_wait_within(sem_t *s, int ms) {
    struct timespec t;
    int rc;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    do
        rc = sem_timedwait(s, &t);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static int drain(int fd, size_t len, int to_the_end, char *error, size_t cap) {
    static _Thread_local char buf[65536];
    size_t have = 0;

    while (to_the_end || have < len) {
        size_t want = to_the_end || len - have > sizeof buf ? sizeof buf : len - have;
        ssize_t n = read_within(fd, buf, want, WAIT_MS);

        if (to_the_end && (n == 0 || (n < 0 && errno == ECONNRESET)))
            return 0;
        if (n <= 0) {
            snprintf(error, cap, "%s after %zu bytes", n == 0 ? "the stream ended" : strerror(errno), have);
            return -1;
        }
        have += (size_t)n;
    }
    return 0;
}

/* 0, or -1 with a message in error. */
static int perform(fake *f, const struct step *s, char *error, size_t cap) {
    int rc = 0;

    error[0] = '\0';
    switch (s->kind) {
    case ACCEPT:
        if (f->fd >= 0)
            close(f->fd);
        f->fd = accept_within(f->listener, WAIT_MS);
        rc = f->fd < 0 ? -1 : 0;
        break;
    case EXPECT:
        return expect(f->fd, s->bytes, s->len, error, cap);
    case EXPECT_EOF:
        return expect_eof(f->fd, error, cap);
    case DRAIN:
    case DRAIN_ALL:
        return drain(f->fd, s->len, s->kind == DRAIN_ALL, error, cap);
    case SEND:
        rc = send_all(f->fd, s->bytes, s->len);
        break;
    case DRIP:
        for (size_t i = 0; i < s->len; i++) {
            /* A client that has had enough is no failure. */
            if (send_all(f->fd, s->bytes + i, 1) < 0) {
                rc = errno == EPIPE || errno == ECONNRESET ? 0 : -1;
                break;
            }
            sleep_ms(s->number);
        }
        break;
    case SLEEP:
        sleep_ms(s->number);
        break;
    case SHUTDOWN:
        rc = shutdown(f->fd, SHUT_WR);
        break;
    case CLOSE:
    case RESET:
        if (s->kind == CLOSE)
            close(f->fd);
        else
            close_with_reset(f->fd);
        f->fd = -1;
        break;
    case STOP_LISTENING:
        close(f->listener);
        f->listener = -1;
        break;
    case WAIT:
        rc = sem_wait_within(&f->go, WAIT_MS);
        break;
    case MARK:
        rc = sem_post(&f->mark);
        break;
    case BUFFER:
        rc = setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &s->number, sizeof s->number) |
             setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &s->number, sizeof s->number);
        break;
    }
    if (rc < 0)
        snprintf(error, cap, "%s", strerror(errno));
    return rc;
}

static void *run(void *arg) {
    fake *f = arg;
    char error[480];

    for (size_t i = 0; i < f->steps; i++) {
        if (perform(f, &f->step[i], error, sizeof error) < 0) {
            snprintf(f->error, sizeof f->error, "the server's step %zu (%s): %s", i + 1,
                     kind_name[f->step[i].kind], error);
            break;
        }
    }
    /* A client that still waits shall see an end, and a test that waits for a mark go on to fake_finish. */
    if (f->fd >= 0)
        close(f->fd);
    if (f->listener >= 0)
        close(f->listener);
    f->fd = f->listener = -1;
    if (f->error[0] != '\0')
        sem_post(&f->mark);
    return NULL;
}

void fake_start(fake *f) {
    sigset_t all, before;
    int rc;

    /* Signals that a test sends to itself are for the client's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        FAIL("pthread_create: %s", strerror(rc));
    f->started = 1;
}

void fake_go(fake *f) {
    sem_post(&f->go);
}

void fake_await(fake *f) {
    if (sem_wait_within(&f->mark, WAIT_MS) < 0)
        FAIL("the server did not come to its mark");
}

void fake_finish(fake *f) {
    char error[sizeof f->error];

    if (f->started)
        pthread_join(f->thread, NULL);
    memcpy(error, f->error, sizeof error);
    if (f->fd >= 0)
        close(f->fd);
    if (f->listener >= 0)
        close(f->listener);
    if (f->path[0] != '\0')
        unlink(f->path);
    for (size_t i = 0; i < f->steps; i++)
        free(f->step[i].bytes);
    free(f->step);
    sem_destroy(&f->go);
    sem_destroy(&f->mark);
    free(f);
    if (error[0] != '\0')
        FAIL("%s", error);
}
