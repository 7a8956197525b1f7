#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* What the loop knows of a context; in one list those with a timer, in another those that went
 * while events for them may still be at hand. */
struct watch {
    redisAsyncContext *ac; /* NULL once it is gone */
    int fd;
    unsigned wanted;
    int64_t due; /* 0: no timer */
    struct watch *next, **link;
};

static int poller = -1;
static struct watch *timed, *gone;

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void want(struct watch *w, unsigned events) {
    struct epoll_event e = {.events = events, .data = {.ptr = w}};
    if (events == w->wanted) return;
    int op = w->wanted == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(poller, op, w->fd, &e) != 0) {
        perror("epoll_ctl");
        abort();
    }
    w->wanted = events;
}

static void add_read(void *data) { want(data, ((struct watch *)data)->wanted | EPOLLIN); }
static void del_read(void *data) { want(data, ((struct watch *)data)->wanted & ~(unsigned)EPOLLIN); }
static void add_write(void *data) { want(data, ((struct watch *)data)->wanted | EPOLLOUT); }
static void del_write(void *data) { want(data, ((struct watch *)data)->wanted & ~(unsigned)EPOLLOUT); }

static void untime(struct watch *w) {
    if (w->due == 0) return;
    w->due = 0;
    *w->link = w->next;
    if (w->next != NULL) w->next->link = w->link;
}

static void schedule(void *data, struct timeval tv) {
    struct watch *w = data;
    untime(w);
    w->due = now_us() + (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
    w->next = timed;
    w->link = &timed;
    if (timed != NULL) timed->link = &w->next;
    timed = w;
}

static void cleanup(void *data) {
    struct watch *w = data;
    want(w, 0);
    untime(w);
    w->ac = NULL;
    w->next = gone;
    gone = w;
}

int loop_open(void) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    return poller >= 0 ? REDIS_OK : REDIS_ERR;
}

static void bury(void) {
    while (gone != NULL) {
        struct watch *w = gone;
        gone = w->next;
        free(w);
    }
}

void loop_close(void) {
    bury();
    close(poller);
}

int loop_attach(redisAsyncContext *ac) {
    struct watch *w = calloc(1, sizeof(*w));
    if (w == NULL || ac->ev.data != NULL) {
        free(w);
        return REDIS_ERR;
    }
    w->ac = ac;
    w->fd = ac->c.fd;
    ac->ev.data = w;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    ac->ev.scheduleTimer = schedule;
    return REDIS_OK;
}

/* Handles the timers that are due; returns the milliseconds until the next, at most `ms`. */
static int run_timers(int ms) {
    int64_t now = now_us(), first = now + (int64_t)ms * 1000;
    for (struct watch *w = timed, *next; w != NULL; w = next) {
        next = w->next;
        if (w->due > now) {
            if (w->due < first) first = w->due;
            continue;
        }
        untime(w);
        redisAsyncHandleTimeout(w->ac);
        /* A callback may have changed any other timer: look again from the start. */
        next = timed;
    }
    return (int)((first - now + 999) / 1000);
}

void loop_turn(int ms) {
    struct epoll_event events[256];
    ms = run_timers(ms);
    int n = epoll_wait(poller, events, 256, ms);
    if (n < 0 && errno != EINTR) {
        perror("epoll_wait");
        abort();
    }
    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;
        if (w->ac != NULL && (events[i].events & ~(unsigned)EPOLLOUT)) redisAsyncHandleRead(w->ac);
        if (w->ac != NULL && (events[i].events & ~(unsigned)EPOLLIN)) redisAsyncHandleWrite(w->ac);
    }
    bury();
}
