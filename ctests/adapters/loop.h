/* The event loops behind one set of functions, so that the tests are the same for all.
 * LOOP is the adapter's name, and LOOP_name is defined too. */
#ifndef HIREDIS_RS_TEST_LOOP_H
#define HIREDIS_RS_TEST_LOOP_H

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "../test.h"

/* What the adapter calls goes through here: a call for a context that is gone fails the
 * test at once, and the timer is counted, since the library does not show it when it has
 * no use for it. */
static int timeouts;
static double timed_out;

static void must_live(const redisAsyncContext *ac, const char *event) {
    if (!alloc_owns(ac)) FAIL("a %s event for a context that is gone", event);
}

static void seen_read(redisAsyncContext *ac) {
    must_live(ac, "read");
    redisAsyncHandleRead(ac);
}

static void seen_write(redisAsyncContext *ac) {
    must_live(ac, "write");
    redisAsyncHandleWrite(ac);
}

static void seen_timeout(redisAsyncContext *ac) {
    must_live(ac, "timer");
    timeouts++;
    timed_out = test_now();
    redisAsyncHandleTimeout(ac);
}

#define redisAsyncHandleRead seen_read
#define redisAsyncHandleWrite seen_write
#define redisAsyncHandleTimeout seen_timeout

#if defined(LOOP_libevent)
#include <hiredis/adapters/libevent.h>

static struct event_base *loop;
static struct event *alarm_clock;

static void alarm_rings(evutil_socket_t fd, short ready, void *arg) {
    (void)fd, (void)ready, (void)arg;
}

static void loop_new(void) {
    loop = event_base_new();
    alarm_clock = event_new(loop, -1, 0, alarm_rings, NULL);
}

static void loop_free(void) {
    event_free(alarm_clock);
    event_base_free(loop);
}

static int loop_attach(redisAsyncContext *ac) {
    return redisLibeventAttach(ac, loop);
}

/* Handles what is ready; waits for it, but at most `ms`. */
static void loop_run(int ms) {
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    event_add(alarm_clock, &tv);
    event_base_loop(loop, EVLOOP_ONCE);
}

#elif defined(LOOP_libev)
#include <hiredis/adapters/libev.h>

static struct ev_loop *loop;
static ev_timer alarm_clock;

static void alarm_rings(struct ev_loop *l, ev_timer *timer, int ready) {
    (void)l, (void)timer, (void)ready;
}

static void loop_new(void) {
    loop = ev_loop_new(0);
    ev_init(&alarm_clock, alarm_rings);
}

static void loop_free(void) {
    ev_timer_stop(loop, &alarm_clock);
    ev_loop_destroy(loop);
}

static int loop_attach(redisAsyncContext *ac) {
    return redisLibevAttach(loop, ac);
}

static void loop_run(int ms) {
    ev_timer_stop(loop, &alarm_clock);
    ev_now_update(loop);
    ev_timer_set(&alarm_clock, ms / 1e3, 0.);
    ev_timer_start(loop, &alarm_clock);
    ev_run(loop, EVRUN_ONCE);
}

#elif defined(LOOP_ae)
#include <hiredis/adapters/ae.h>

static aeEventLoop *loop;

static int alarm_rings(aeEventLoop *l, long long id, void *rung) {
    (void)l, (void)id;
    *(int *)rung = 1;
    return AE_NOMORE;
}

static void loop_new(void) {
    loop = aeCreateEventLoop(1024);
}

static void loop_free(void) {
    aeDeleteEventLoop(loop);
}

static int loop_attach(redisAsyncContext *ac) {
    return redisAeAttach(loop, ac);
}

static void loop_run(int ms) {
    int rung = 0;
    long long id = aeCreateTimeEvent(loop, ms, alarm_rings, &rung, NULL);
    aeProcessEvents(loop, AE_ALL_EVENTS);
    if (!rung) aeDeleteTimeEvent(loop, id);
}

#elif defined(LOOP_poll)
#include <hiredis/adapters/poll.h>

/* The contexts that are ticked in turn. */
static redisAsyncContext *ticked[1024];
static int ticked_count;

static void loop_new(void) {
    ticked_count = 0;
}

static void loop_free(void) {
}

static int loop_attach(redisAsyncContext *ac) {
    if (redisPollAttach(ac) != REDIS_OK) return REDIS_ERR;
    ticked[ticked_count++] = ac;
    return REDIS_OK;
}

/* By its dataCleanup a context says that it is gone. */
#define LOOP_FORGETS
static void loop_forget(redisAsyncContext *ac) {
    int i;
    for (i = 0; i < ticked_count; i++) {
        if (ticked[i] == ac) ticked[i] = NULL;
    }
}

static void loop_run(int ms) {
    int i, alive = 0, handled = 0;
    for (i = 0; i < ticked_count; i++) {
        if (ticked[i] != NULL) ticked[alive++] = ticked[i];
    }
    ticked_count = alive;
    if (alive == 1 && redisPollTick(ticked[0], ms / 1e3) != 0) return;
    for (i = 0; i < alive; i++) {
        if (ticked[i] != NULL) handled |= redisPollTick(ticked[i], 0);
    }
    if (handled == 0) poll(NULL, 0, ms < 5 ? ms : 5);
}

#else
#error "define LOOP_libevent, LOOP_libev, LOOP_ae or LOOP_poll"
#endif

#endif
