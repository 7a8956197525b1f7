/* Many connections in one process, each with a few commands under way at any time. Every reply is
 * compared with what was asked, on that connection, at that place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "loop.h"
#include "memory.h"
#include "random.h"
#include "tally.h"
#include "values.h"

enum { PIPELINE = 10, BITS = 9, BACKLOG = 200 };
enum asked { ECHO, INCR, SET, GET };

struct client;

struct ask {
    struct client *client;
    enum asked what;
    struct value value;
    long long number;
};

struct client {
    redisAsyncContext *ac;
    struct rng rng;
    unsigned number;
    int connects, disconnects;
    struct ask asks[PIPELINE];
    unsigned long pipelines;
    unsigned sent, answered; /* of the last one */
    struct value value;      /* of its key */
    int has_value;
    long long counter;
};

static struct client *clients;
static struct client **ready; /* a ring of those with nothing under way */
static size_t ready_first, ready_count, client_count;
static size_t connected, disconnected, under_way;
static unsigned long long done;

static void ready_put(struct client *k) {
    ready[(ready_first + ready_count++) % client_count] = k;
}

static struct client *ready_take(void) {
    struct client *k = ready[ready_first];
    ready_first = (ready_first + 1) % client_count;
    ready_count--;
    return k;
}

static void on_connect(const redisAsyncContext *ac, int status) {
    struct client *k = ac->data;
    if (status != REDIS_OK) broken("client %u cannot connect: %s", k->number, ac->errstr);
    if (++k->connects != 1) broken("client %u: onConnect was called %d times", k->number, k->connects);
    connected++;
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    struct client *k = ac->data;
    if (status != REDIS_OK) broken("client %u was lost: %s", k->number, ac->errstr);
    if (++k->disconnects != 1)
        broken("client %u: onDisconnect was called %d times", k->number, k->disconnects);
    k->ac = NULL;
    disconnected++;
}

static int is_right(const struct ask *a, const redisReply *r) {
    switch (a->what) {
    case ECHO: return r->type == REDIS_REPLY_STRING && value_is(a->value, r->str, r->len);
    case INCR: return r->type == REDIS_REPLY_INTEGER && r->integer == a->number;
    case SET: return r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0;
    case GET:
        return a->number ? r->type == REDIS_REPLY_STRING && value_is(a->value, r->str, r->len)
                         : r->type == REDIS_REPLY_NIL;
    }
    return 0;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata) {
    struct ask *a = privdata;
    struct client *k = a->client;
    if (planted("misdelivered")) k = &clients[(k->number + 1) % client_count];
    if (planted("leak") && hi_malloc(100) == NULL) abort();
    if (k->ac != ac || a != &k->asks[k->answered])
        broken("client %u: a reply came to the wrong command", k->number);
    else if (reply == NULL) broken("client %u: NULL, %s", k->number, ac->errstr);
    else if (!is_right(a, reply)) broken("client %u: a wrong reply to command %d", k->number, a->what);
    done++;
    under_way--;
    if (++k->answered == k->sent) ready_put(k);
}

/* A connection keeps its buffers, up to 16 KiB, at the size they once needed. The first pipelines have
 * the longest commands and the longest replies there can be, or memory would grow for as long as chance
 * brings longer ones. */
static int send_ask(struct client *k, struct ask *a) {
    redisAsyncContext *ac = k->ac;
    struct value v = value_pick(&k->rng, BITS);
    a->client = k;
    a->what = (enum asked)rng_below(&k->rng, 4);
    if (k->pipelines < 2) {
        v = (struct value){0, 15 + (1 << BITS)};
        a->what = k->pipelines == 0 ? SET : ECHO;
    }
    a->value = v;
    switch (a->what) {
    case ECHO: return redisAsyncCommand(ac, on_reply, a, "ECHO %b", value_bytes(v), (size_t)v.len);
    case INCR:
        a->number = ++k->counter;
        return redisAsyncCommand(ac, on_reply, a, "INCR load:n:%u", k->number);
    case SET:
        k->value = v;
        k->has_value = 1;
        return redisAsyncCommand(ac, on_reply, a, "SET load:v:%u %b", k->number, value_bytes(v),
                                 (size_t)v.len);
    case GET:
        a->value = k->value;
        a->number = k->has_value;
        return redisAsyncCommand(ac, on_reply, a, "GET load:v:%u", k->number);
    }
    return REDIS_ERR;
}

static void send_pipeline(struct client *k) {
    k->answered = 0;
    for (k->sent = 0; k->sent < PIPELINE; k->sent++, under_way++)
        if (send_ask(k, &k->asks[k->sent]) != REDIS_OK)
            broken("client %u: refused: %s", k->number, k->ac->errstr);
    k->pipelines++;
}

/* Until the counter has reached the goal, but not for ever. */
static int turn_until(const size_t *counter, size_t goal) {
    int64_t end = now_us() + 60000000;
    while (*counter != goal && now_us() < end && broken_promises() == 0) loop_turn(100);
    if (*counter != goal && broken_promises() == 0) broken("%zu of %zu after 60 s", *counter, goal);
    return *counter == goal;
}

static int open_all(const struct load *load) {
    for (size_t i = 0; i < client_count; i++) {
        struct client *k = &clients[i];
        k->number = (unsigned)i;
        k->rng = rng_of(load->seed, 'k', i);
        k->ac = i % 2 == 0 ? redisAsyncConnectUnix(load->server) : redisAsyncConnect("127.0.0.1", load->port);
        if (k->ac == NULL || k->ac->err != 0) {
            broken("client %zu: %s", i, k->ac != NULL ? k->ac->errstr : "no context");
            return 0;
        }
        k->ac->data = k;
        if (loop_attach(k->ac) != REDIS_OK || redisAsyncSetConnectCallback(k->ac, on_connect) != REDIS_OK ||
            redisAsyncSetDisconnectCallback(k->ac, on_disconnect) != REDIS_OK)
            abort();
        ready_put(k);
        /* The server's queue of new connections is short. */
        if ((i + 1) % BACKLOG == 0 && !turn_until(&connected, i + 1)) return 0;
    }
    return turn_until(&connected, client_count);
}

static size_t buffers(void) {
    size_t bytes = 0;
    for (size_t i = 0; i < client_count; i++)
        bytes += sdsAllocSize(clients[i].ac->c.obuf) + sdsAllocSize(clients[i].ac->c.reader->buf);
    return bytes;
}

static void run(const struct load *load, struct memory_watch *watch) {
    struct pace pace = {.rate = load->rate};
    unsigned long long done_before = 0;
    /* A pause now and then, some of them after the warming up. */
    size_t every = load->us < 120000000 ? 1 + (size_t)load->us / 12000000 : 10;
    while (now_us() - watch->begun < load->us && broken_promises() == 0) {
        /* A pipeline at a time; what is left of it counts for the next turn. */
        size_t due = pace_due(&pace);
        for (; due >= PIPELINE && ready_count > 0; due -= PIPELINE) send_pipeline(ready_take());
        pace.due += (double)due;
        loop_turn(1);
        if (!watch_sample(watch) || watch->samples % every != 0) continue;
        if (!turn_until(&under_way, 0)) return;
        watch_idle(watch, buffers());
        printf("     %4zu s: %6llu commands per second, resident %.1f MiB, library %.2f MiB, of that %.2f"
               " in buffers\n", watch->samples, (done - done_before) / every,
               (double)resident_bytes() / 1048576, (double)memory_bytes() / 1048576,
               (double)buffers() / 1048576);
        fflush(stdout);
        done_before = done;
    }
    turn_until(&under_way, 0);
}

static void close_all(void) {
    for (size_t i = 0; i < client_count; i++) {
        if (clients[i].ac == NULL) continue;
        if (i % 3 == 0) redisAsyncFree(clients[i].ac);
        else redisAsyncDisconnect(clients[i].ac);
    }
    turn_until(&disconnected, client_count);
}

void load_connections(const struct load *load) {
    static struct memory_watch watch;
    client_count = load->count;
    clients = calloc(client_count, sizeof(*clients));
    ready = calloc(client_count, sizeof(struct client *));
    if (clients == NULL || ready == NULL) abort();
    if (open_all(load)) {
        watch_begin(&watch, load->us);
        run(load, &watch);
        double seconds = (double)(now_us() - watch.begun) / 1e6;
        printf("     %zu connections, %llu commands in %.0f s, %.0f per second\n", connected, done, seconds,
               (double)done / seconds);
        watch_end(&watch);
    }
    close_all();
    free(clients);
    free(ready);
}
