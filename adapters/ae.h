/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Drives asynchronous contexts with ae, the event loop of Redis (src/ae.c there).
 *
 *     static void answered(redisAsyncContext *ac, void *reply, void *privdata) {
 *         if (reply != NULL) puts(((redisReply *)reply)->str);
 *         redisAsyncDisconnect(ac);
 *         aeStop((aeEventLoop *)privdata);
 *     }
 *
 *     aeEventLoop *loop = aeCreateEventLoop(1024);
 *     redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", 6379);
 *     if (ac == NULL || ac->err || redisAeAttach(loop, ac) != REDIS_OK) return 1;
 *     redisAsyncCommand(ac, answered, loop, "PING");
 *     aeMain(loop);
 *
 * The adapter owns its record, `ac->ev.data`, and the file and time events that it
 * makes; not the context, not the loop, not the descriptor. The library has all that
 * released by the cleanup hook, before it closes the descriptor. The loop must live
 * until then. aeMain runs until aeStop is called.
 *
 * Callbacks run inside aeMain or aeProcessEvents, and may do anything to any context,
 * freeing the one they are called for included. */
#ifndef HIREDIS_RS_ADAPTERS_AE_H
#define HIREDIS_RS_ADAPTERS_AE_H

#include <limits.h>
#include <sys/types.h>
#include <time.h>

#include <ae.h>

#include "../async.h"
#include "../hiredis.h"

#ifndef CLOCK_MONOTONIC
#include <sys/times.h>
#include <unistd.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct redisAeEvents {
    redisAsyncContext *context;
    aeEventLoop *loop;
    int fd;
    int reading, writing;  /* whether the file events exist */
    long long timer;       /* id of the time event, -1 when there is none */
    long long wakes;       /* when the time event comes, in microseconds of redisAeNow */
    long long due;         /* when the timer is due: then, or later */
} redisAeEvents;

/* Microseconds on a clock that nobody sets. */
static inline long long redisAeNow(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
#else
    /* Strict ISO C hides clock_gettime. This one is coarser, and as steady. */
    struct tms unused;
    return (long long)((double)times(&unused) * 1e6 / (double)sysconf(_SC_CLK_TCK));
#endif
}

/* Rounded up: ae would come back too early and find nothing to do. */
static inline int redisAeMilliseconds(long long us) {
    if (us >= (long long)INT_MAX * 1000) return INT_MAX;
    return us > 0 ? (int)((us + 999) / 1000) : 0;
}

/* A call of the library may free the record, so nothing looks at it afterwards. ae
 * itself looks whether a write event still exists before it calls it after a read. */

static inline void redisAeReadEvent(aeEventLoop *loop, int fd, void *data, int mask) {
    (void)loop;
    (void)fd;
    (void)mask;
    redisAsyncHandleRead(((redisAeEvents *)data)->context);
}

static inline void redisAeWriteEvent(aeEventLoop *loop, int fd, void *data, int mask) {
    (void)loop;
    (void)fd;
    (void)mask;
    redisAsyncHandleWrite(((redisAeEvents *)data)->context);
}

static inline int redisAeTimeEvent(aeEventLoop *loop, long long id, void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    long long now = redisAeNow();
    (void)loop;
    (void)id;
    if (e->due > now) {
        e->wakes = e->due;
        return redisAeMilliseconds(e->due - now);
    }
    /* By what it returns this event ends; a timer set from here on needs a new one. */
    e->timer = -1;
    redisAsyncHandleTimeout(e->context);
    return AE_NOMORE;
}

static inline void redisAeAddRead(void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    if (e->reading) return;
    e->reading = aeCreateFileEvent(e->loop, e->fd, AE_READABLE, redisAeReadEvent, e) == AE_OK;
}

static inline void redisAeDelRead(void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    if (!e->reading) return;
    e->reading = 0;
    aeDeleteFileEvent(e->loop, e->fd, AE_READABLE);
}

static inline void redisAeAddWrite(void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    if (e->writing) return;
    e->writing = aeCreateFileEvent(e->loop, e->fd, AE_WRITABLE, redisAeWriteEvent, e) == AE_OK;
}

static inline void redisAeDelWrite(void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    if (!e->writing) return;
    e->writing = 0;
    aeDeleteFileEvent(e->loop, e->fd, AE_WRITABLE);
}

/* ae keeps time events in a list that it searches to delete one. The library moves its
 * deadline with every command, so moving it back only makes a note: the event, when it
 * comes, finds that it is early and asks for the rest. */
static inline void redisAeScheduleTimer(void *data, struct timeval tv) {
    redisAeEvents *e = (redisAeEvents *)data;
    long long now = redisAeNow();
    if ((long long)tv.tv_sec >= LLONG_MAX / 1000000 - now / 1000000 - 1)
        e->due = LLONG_MAX;
    else
        e->due = now + (long long)tv.tv_sec * 1000000 + tv.tv_usec;

    if (e->timer != -1) {
        if (e->wakes <= e->due) return;
        aeDeleteTimeEvent(e->loop, e->timer);
    }
    e->wakes = e->due;
    e->timer = aeCreateTimeEvent(e->loop, redisAeMilliseconds(e->due - now), redisAeTimeEvent, e, NULL);
}

static inline void redisAeCleanup(void *data) {
    redisAeEvents *e = (redisAeEvents *)data;
    redisAeDelRead(e);
    redisAeDelWrite(e);
    if (e->timer != -1) aeDeleteTimeEvent(e->loop, e->timer);
    hi_free(e);
}

/* Puts `ac` under the care of `loop`. REDIS_ERR, with nothing changed, if one of them
 * is NULL, `ac` has no descriptor (it could not begin to connect) or one too large for
 * the loop (see aeCreateEventLoop), is attached already, or memory is short. */
static inline int redisAeAttach(aeEventLoop *loop, redisAsyncContext *ac) {
    if (loop == NULL || ac == NULL || ac->ev.data != NULL) return REDIS_ERR;
    if (ac->c.fd == REDIS_INVALID_FD || ac->c.fd >= aeGetSetSize(loop)) return REDIS_ERR;

    redisAeEvents *e = (redisAeEvents *)hi_calloc(1, sizeof(*e));
    if (e == NULL) return REDIS_ERR;
    e->context = ac;
    e->loop = loop;
    e->fd = ac->c.fd;
    e->timer = -1;

    ac->ev.data = e;
    ac->ev.addRead = redisAeAddRead;
    ac->ev.delRead = redisAeDelRead;
    ac->ev.addWrite = redisAeAddWrite;
    ac->ev.delWrite = redisAeDelWrite;
    ac->ev.cleanup = redisAeCleanup;
    ac->ev.scheduleTimer = redisAeScheduleTimer;

    /* What was asked for before there were hooks is told to them now. */
    if (ac->onConnect != NULL || ac->onConnectNC != NULL || sdslen(ac->c.obuf) > 0) {
        const struct timeval *tv =
            (ac->c.flags & REDIS_CONNECTED) ? ac->c.command_timeout : ac->c.connect_timeout;
        if (tv != NULL && (tv->tv_sec != 0 || tv->tv_usec != 0)) redisAeScheduleTimer(e, *tv);
        redisAeAddWrite(e);
    }
    return REDIS_OK;
}

#ifdef __cplusplus
}
#endif

#endif
