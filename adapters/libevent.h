/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Drives asynchronous contexts with libevent 2 (https://libevent.org).
 *
 *     static void answered(redisAsyncContext *ac, void *reply, void *privdata) {
 *         if (reply != NULL) puts(((redisReply *)reply)->str);
 *         (void)privdata;
 *         redisAsyncDisconnect(ac);
 *     }
 *
 *     struct event_base *base = event_base_new();
 *     redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", 6379);
 *     if (ac == NULL || ac->err || redisLibeventAttach(ac, base) != REDIS_OK) return 1;
 *     redisAsyncCommand(ac, answered, NULL, "PING");
 *     event_base_dispatch(base);
 *
 * The adapter owns its record, `ac->ev.data`, and the events in it; not the context,
 * not the base, not the descriptor. The library has the record released by the cleanup
 * hook, before it closes the descriptor. The base must live until then. A context keeps
 * the base's loop running as long as it waits for anything.
 *
 * Callbacks run inside the base's loop, on its thread, and may do anything to any
 * context, freeing the one they are called for included. */
#ifndef HIREDIS_RS_ADAPTERS_LIBEVENT_H
#define HIREDIS_RS_ADAPTERS_LIBEVENT_H

#include <stddef.h>

#include <event2/event.h>

#include "../async.h"
#include "../hiredis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of redisLibeventEvents.state. */
#define REDIS_LIBEVENT_DELETED 1 /* cleaned up inside the handler, which frees the record */
#define REDIS_LIBEVENT_ENTERED 2 /* the handler is running */

typedef struct redisLibeventEvents {
    redisAsyncContext *context;
    struct event_base *base;
    struct event *ev;    /* in the base when flags is not 0 */
    struct event *spare; /* never in the base */
    struct event *timer;
    int flags;           /* what `ev` waits for: EV_READ, EV_WRITE */
    int state;
} redisLibeventEvents;

/* One event for both directions, because libevent does not say which of two it calls
 * first, and reading must be: what a server sent before it closed is lost to a write
 * that fails. */
static inline void redisLibeventHandler(evutil_socket_t fd, short ready, void *arg) {
    redisLibeventEvents *e = (redisLibeventEvents *)arg;
    (void)fd;
    e->state |= REDIS_LIBEVENT_ENTERED;
    if (ready & EV_READ) redisAsyncHandleRead(e->context);
    if ((ready & EV_WRITE) && !(e->state & REDIS_LIBEVENT_DELETED)) redisAsyncHandleWrite(e->context);
    e->state &= ~REDIS_LIBEVENT_ENTERED;
    if (e->state & REDIS_LIBEVENT_DELETED) hi_free(e);
}

static inline void redisLibeventTimeout(evutil_socket_t fd, short ready, void *arg) {
    (void)fd;
    (void)ready;
    /* This may free the record. */
    redisAsyncHandleTimeout(((redisLibeventEvents *)arg)->context);
}

/* An event that waits cannot be changed. The spare one takes its place, and is added
 * before the other is removed: so the kernel is told only of what differs. If libevent
 * cannot do it, all stays as it was, and the next request tries again. */
static inline void redisLibeventWatch(redisLibeventEvents *e, int flags) {
    struct event *next = e->spare;
    if (flags == e->flags) return;
    if (flags != 0) {
        const short what = (short)(flags | EV_PERSIST);
        if (event_assign(next, e->base, e->context->c.fd, what, redisLibeventHandler, e) != 0) return;
        if (event_add(next, NULL) != 0) return;
    }
    event_del(e->ev);
    e->spare = e->ev;
    e->ev = next;
    e->flags = flags;
}

static inline void redisLibeventAddRead(void *data) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
    redisLibeventWatch(e, e->flags | EV_READ);
}

static inline void redisLibeventDelRead(void *data) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
    redisLibeventWatch(e, e->flags & ~EV_READ);
}

static inline void redisLibeventAddWrite(void *data) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
    redisLibeventWatch(e, e->flags | EV_WRITE);
}

static inline void redisLibeventDelWrite(void *data) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
    redisLibeventWatch(e, e->flags & ~EV_WRITE);
}

static inline void redisLibeventScheduleTimer(void *data, struct timeval tv) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
#if LIBEVENT_VERSION_NUMBER >= 0x02010000
    /* Inside callbacks libevent counts from the time it last looked at the clock. Late
     * in a long one that is in the past and the timer would be due too early. */
    event_base_update_cache_time(e->base);
#endif
    event_add(e->timer, &tv);
}

static inline void redisLibeventFreeEvents(redisLibeventEvents *e) {
    if (e->ev != NULL) event_free(e->ev);
    if (e->spare != NULL) event_free(e->spare);
    if (e->timer != NULL) event_free(e->timer);
}

static inline void redisLibeventCleanup(void *data) {
    redisLibeventEvents *e = (redisLibeventEvents *)data;
    redisLibeventFreeEvents(e);
    if (e->state & REDIS_LIBEVENT_ENTERED) {
        e->state |= REDIS_LIBEVENT_DELETED;
        return;
    }
    hi_free(e);
}

/* Puts `ac` under the care of `base`. REDIS_ERR, with nothing changed, if one of them is
 * NULL, `ac` has no descriptor (it could not begin to connect), is attached already, or
 * memory is short. */
static inline int redisLibeventAttach(redisAsyncContext *ac, struct event_base *base) {
    if (ac == NULL || base == NULL) return REDIS_ERR;
    if (ac->c.fd == REDIS_INVALID_FD || ac->ev.data != NULL) return REDIS_ERR;

    redisLibeventEvents *e = (redisLibeventEvents *)hi_calloc(1, sizeof(*e));
    if (e == NULL) return REDIS_ERR;
    e->context = ac;
    e->base = base;
    e->ev = event_new(base, ac->c.fd, EV_READ | EV_PERSIST, redisLibeventHandler, e);
    e->spare = event_new(base, ac->c.fd, EV_READ | EV_PERSIST, redisLibeventHandler, e);
    e->timer = event_new(base, -1, 0, redisLibeventTimeout, e);
    if (e->ev == NULL || e->spare == NULL || e->timer == NULL) {
        redisLibeventFreeEvents(e);
        hi_free(e);
        return REDIS_ERR;
    }

    ac->ev.data = e;
    ac->ev.addRead = redisLibeventAddRead;
    ac->ev.delRead = redisLibeventDelRead;
    ac->ev.addWrite = redisLibeventAddWrite;
    ac->ev.delWrite = redisLibeventDelWrite;
    ac->ev.cleanup = redisLibeventCleanup;
    ac->ev.scheduleTimer = redisLibeventScheduleTimer;

    /* What was asked for before there were hooks is told to them now. */
    if (ac->onConnect != NULL || ac->onConnectNC != NULL || sdslen(ac->c.obuf) > 0) {
        const struct timeval *tv =
            (ac->c.flags & REDIS_CONNECTED) ? ac->c.command_timeout : ac->c.connect_timeout;
        if (tv != NULL && (tv->tv_sec != 0 || tv->tv_usec != 0)) redisLibeventScheduleTimer(e, *tv);
        redisLibeventAddWrite(e);
    }
    return REDIS_OK;
}

#ifdef __cplusplus
}
#endif

#endif
