/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Drives asynchronous contexts with libev (http://software.schmorp.de/pkg/libev.html).
 *
 *     static void answered(redisAsyncContext *ac, void *reply, void *privdata) {
 *         if (reply != NULL) puts(((redisReply *)reply)->str);
 *         (void)privdata;
 *         redisAsyncDisconnect(ac);
 *     }
 *
 *     struct ev_loop *loop = ev_default_loop(0);
 *     redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", 6379);
 *     if (ac == NULL || ac->err || redisLibevAttach(loop, ac) != REDIS_OK) return 1;
 *     redisAsyncCommand(ac, answered, NULL, "PING");
 *     ev_run(loop, 0);
 *
 * The adapter owns its record, `ac->ev.data`, with two I/O watchers and a timer in it;
 * not the context, not the loop, not the descriptor. The library has the record
 * released by the cleanup hook, before it closes the descriptor. The loop must live
 * until then. A context keeps the loop running as long as it waits for anything.
 *
 * Callbacks run inside ev_run, and may do anything to any context, freeing the one
 * they are called for included. */
#ifndef HIREDIS_RS_ADAPTERS_LIBEV_H
#define HIREDIS_RS_ADAPTERS_LIBEV_H

#include <stddef.h>

#include <ev.h>

#include "../async.h"
#include "../hiredis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct redisLibevEvents {
    redisAsyncContext *context;
#if EV_MULTIPLICITY
    struct ev_loop *loop;
#endif
    int reading, writing; /* whether the watchers are started */
    ev_io rev, wev;
    ev_timer timer;
} redisLibevEvents;

/* In a build of libev with several loops, the variable `loop` that its macros use. */
#if EV_MULTIPLICITY
#define REDIS_LIBEV_LOOP(e) struct ev_loop *loop = (e)->loop
#else
#define REDIS_LIBEV_LOOP(e) (void)(e)
#endif

/* A call of the library may free the record, so nothing looks at it afterwards. */

static inline void redisLibevReadEvent(EV_P_ ev_io *watcher, int revents) {
#if EV_MULTIPLICITY
    (void)loop;
#endif
    (void)revents;
    redisAsyncHandleRead(((redisLibevEvents *)watcher->data)->context);
}

static inline void redisLibevWriteEvent(EV_P_ ev_io *watcher, int revents) {
#if EV_MULTIPLICITY
    (void)loop;
#endif
    (void)revents;
    redisAsyncHandleWrite(((redisLibevEvents *)watcher->data)->context);
}

/* libev has stopped the timer by now: it does not repeat. */
static inline void redisLibevTimeout(EV_P_ ev_timer *timer, int revents) {
#if EV_MULTIPLICITY
    (void)loop;
#endif
    (void)revents;
    redisAsyncHandleTimeout(((redisLibevEvents *)timer->data)->context);
}

static inline void redisLibevAddRead(void *data) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    if (e->reading) return;
    e->reading = 1;
    ev_io_start(EV_A_ &e->rev);
}

static inline void redisLibevDelRead(void *data) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    if (!e->reading) return;
    e->reading = 0;
    ev_io_stop(EV_A_ &e->rev);
}

static inline void redisLibevAddWrite(void *data) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    if (e->writing) return;
    e->writing = 1;
    ev_io_start(EV_A_ &e->wev);
}

static inline void redisLibevDelWrite(void *data) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    if (!e->writing) return;
    e->writing = 0;
    ev_io_stop(EV_A_ &e->wev);
}

static inline void redisLibevScheduleTimer(void *data, struct timeval tv) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    ev_timer_stop(EV_A_ &e->timer);
    /* libev counts from the time it last looked at the clock. Before ev_run, or late
     * in a long callback, that is in the past and the timer would be due too early. */
    ev_now_update(EV_A);
    ev_timer_set(&e->timer, (ev_tstamp)tv.tv_sec + (ev_tstamp)tv.tv_usec / 1e6, 0.);
    ev_timer_start(EV_A_ &e->timer);
}

static inline void redisLibevCleanup(void *data) {
    redisLibevEvents *e = (redisLibevEvents *)data;
    REDIS_LIBEV_LOOP(e);
    redisLibevDelRead(e);
    redisLibevDelWrite(e);
    ev_timer_stop(EV_A_ &e->timer);
    hi_free(e);
}

/* Puts `ac` under the care of the loop. REDIS_ERR, with nothing changed, if one of
 * them is NULL, `ac` has no descriptor (it could not begin to connect), is attached already, or
 * memory is short. Where libev was built for one loop only (EV_MULTIPLICITY 0), the
 * first argument does not exist. */
static inline int redisLibevAttach(EV_P_ redisAsyncContext *ac) {
#if EV_MULTIPLICITY
    if (loop == NULL) return REDIS_ERR;
#endif
    if (ac == NULL || ac->c.fd == REDIS_INVALID_FD || ac->ev.data != NULL) return REDIS_ERR;

    redisLibevEvents *e = (redisLibevEvents *)hi_calloc(1, sizeof(*e));
    if (e == NULL) return REDIS_ERR;
    e->context = ac;
#if EV_MULTIPLICITY
    e->loop = loop;
#endif
    ev_io_init(&e->rev, redisLibevReadEvent, ac->c.fd, EV_READ);
    ev_io_init(&e->wev, redisLibevWriteEvent, ac->c.fd, EV_WRITE);
    /* Reading comes first: what a server sent before it closed is lost to a write that
     * fails. And a write that waits for the other callbacks sends what they add. */
    ev_set_priority(&e->wev, -1);
    ev_timer_init(&e->timer, redisLibevTimeout, 0., 0.);
    e->rev.data = e->wev.data = e->timer.data = e;

    ac->ev.data = e;
    ac->ev.addRead = redisLibevAddRead;
    ac->ev.delRead = redisLibevDelRead;
    ac->ev.addWrite = redisLibevAddWrite;
    ac->ev.delWrite = redisLibevDelWrite;
    ac->ev.cleanup = redisLibevCleanup;
    ac->ev.scheduleTimer = redisLibevScheduleTimer;

    /* What was asked for before there were hooks is told to them now. */
    if (ac->onConnect != NULL || ac->onConnectNC != NULL || sdslen(ac->c.obuf) > 0) {
        const struct timeval *tv =
            (ac->c.flags & REDIS_CONNECTED) ? ac->c.command_timeout : ac->c.connect_timeout;
        if (tv != NULL && (tv->tv_sec != 0 || tv->tv_usec != 0)) redisLibevScheduleTimer(e, *tv);
        redisLibevAddWrite(e);
    }
    return REDIS_OK;
}

#ifdef __cplusplus
}
#endif

#endif
