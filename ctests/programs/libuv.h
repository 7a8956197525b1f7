/* Drives asynchronous contexts with libuv: as much as redis-fast-driver, which brings an event loop
 * but no adapter of its own, asks for. */
#ifndef HIREDIS_RS_PROGRAMS_LIBUV_H
#define HIREDIS_RS_PROGRAMS_LIBUV_H

#include <stdlib.h>
#include <uv.h>

#include "../async.h"

/* The handles are freed by the loop, one after the other, when the context is gone already. */
typedef struct redisLibuvEvents {
    redisAsyncContext *context;
    uv_poll_t poll;
    uv_timer_t timer;
    int events, open;
} redisLibuvEvents;

static void redisLibuvPoll(uv_poll_t *handle, int status, int ready) {
    redisLibuvEvents *e = (redisLibuvEvents *)handle->data;
    /* An error shows when one reads or writes. */
    if (status < 0) ready = e->events;
    if (e->context != NULL && (ready & UV_READABLE)) redisAsyncHandleRead(e->context);
    if (e->context != NULL && (ready & UV_WRITABLE)) redisAsyncHandleWrite(e->context);
}

static void redisLibuvTimeout(uv_timer_t *handle) {
    redisLibuvEvents *e = (redisLibuvEvents *)handle->data;
    if (e->context != NULL) redisAsyncHandleTimeout(e->context);
}

static void redisLibuvWatch(redisLibuvEvents *e, int events) {
    e->events = events;
    if (events != 0) {
        uv_poll_start(&e->poll, events, redisLibuvPoll);
    } else {
        uv_poll_stop(&e->poll);
    }
}

static void redisLibuvAddRead(void *data) {
    redisLibuvWatch((redisLibuvEvents *)data, ((redisLibuvEvents *)data)->events | UV_READABLE);
}
static void redisLibuvDelRead(void *data) {
    redisLibuvWatch((redisLibuvEvents *)data, ((redisLibuvEvents *)data)->events & ~UV_READABLE);
}
static void redisLibuvAddWrite(void *data) {
    redisLibuvWatch((redisLibuvEvents *)data, ((redisLibuvEvents *)data)->events | UV_WRITABLE);
}
static void redisLibuvDelWrite(void *data) {
    redisLibuvWatch((redisLibuvEvents *)data, ((redisLibuvEvents *)data)->events & ~UV_WRITABLE);
}

static void redisLibuvScheduleTimer(void *data, struct timeval tv) {
    redisLibuvEvents *e = (redisLibuvEvents *)data;
    uint64_t milliseconds = (uint64_t)tv.tv_sec * 1000 + ((uint64_t)tv.tv_usec + 999) / 1000;
    uv_timer_start(&e->timer, redisLibuvTimeout, milliseconds, 0);
}

static void redisLibuvClosed(uv_handle_t *handle) {
    redisLibuvEvents *e = (redisLibuvEvents *)handle->data;
    if (--e->open == 0) free(e);
}

static void redisLibuvCleanup(void *data) {
    redisLibuvEvents *e = (redisLibuvEvents *)data;
    e->context = NULL;
    uv_close((uv_handle_t *)&e->poll, redisLibuvClosed);
    uv_close((uv_handle_t *)&e->timer, redisLibuvClosed);
}

static int redisLibuvAttach(redisAsyncContext *ac, uv_loop_t *loop) {
    if (ac->ev.data != NULL) return REDIS_ERR;
    redisLibuvEvents *e = (redisLibuvEvents *)calloc(1, sizeof(*e));
    if (e == NULL) return REDIS_ERR;
    if (uv_poll_init(loop, &e->poll, ac->c.fd) != 0) {
        free(e);
        return REDIS_ERR;
    }
    uv_timer_init(loop, &e->timer);
    e->open = 2;
    e->context = ac;
    e->poll.data = e->timer.data = e;
    ac->ev.data = e;
    ac->ev.addRead = redisLibuvAddRead;
    ac->ev.delRead = redisLibuvDelRead;
    ac->ev.addWrite = redisLibuvAddWrite;
    ac->ev.delWrite = redisLibuvDelWrite;
    ac->ev.cleanup = redisLibuvCleanup;
    ac->ev.scheduleTimer = redisLibuvScheduleTimer;
    return REDIS_OK;
}

#endif
