/* An event loop of one connection. */
#include "hibench.h"

uint64_t replies_received;

static void add_read(void *loop) { ((Loop *)loop)->wait.events |= POLLIN; }
static void del_read(void *loop) { ((Loop *)loop)->wait.events &= ~POLLIN; }
static void add_write(void *loop) { ((Loop *)loop)->wait.events |= POLLOUT; }
static void del_write(void *loop) { ((Loop *)loop)->wait.events &= ~POLLOUT; }
static void clean_up(void *loop) { ((Loop *)loop)->context = NULL; }

redisAsyncContext *connect_async(void) {
    redisAsyncContext *context = responder.port != 0 ? redisAsyncConnect("127.0.0.1", responder.port)
                                                     : redisAsyncConnectUnix(responder.path);
    CHECK(context != NULL && context->err == 0);
    return context;
}

void loop_connect(Loop *loop) {
    redisAsyncContext *context = connect_async();
    *loop = (Loop){.context = context, .wait.fd = context->c.fd};
    context->ev.data = loop;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = clean_up;
}

void loop_turn(Loop *loop) {
    CHECK(poll(&loop->wait, 1, STALL_MS) == 1);
    if (loop->wait.revents & ~POLLOUT) redisAsyncHandleRead(loop->context);
    if (loop->context != NULL && loop->wait.revents & POLLOUT) redisAsyncHandleWrite(loop->context);
    CHECK(loop->context != NULL);
}

void loop_until(Loop *loop, uint64_t replies) {
    while (replies_received < replies) loop_turn(loop);
}

void loop_disconnect(Loop *loop) {
    redisAsyncDisconnect(loop->context);
    CHECK(loop->context == NULL);
}

void on_reply(redisAsyncContext *context, void *reply, void *expected) {
    if (reply == NULL) die("lost a reply: %s", context->errstr ? context->errstr : "no error given");
    CHECK(digest(reply) == *(const uint64_t *)expected);
    replies_received++;
}

