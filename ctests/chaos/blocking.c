#include "blocking.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "loop.h"
#include "memory.h"
#include "tally.h"

enum { THREADS = 40, BATCH_BITS = 6, MOST_PENDING = 1 << BATCH_BITS };

/* One client: a context that lives through many connections. */
struct client {
    unsigned long number, connection;
    struct rng rng;
    struct model model;
    redisContext *c;
    redisContext *around; /* to the server itself, for PUBLISH */
    int way, refused_port, timeout_ms;
    const atomic_llong *harmed_at;
    unsigned long answers, goal;
    struct want wants[MOST_PENDING];
    int64_t connecting; /* when that began */
    int64_t began;      /* the call under way */
};

static const struct play *play;
static pthread_mutex_t unix_order = PTHREAD_MUTEX_INITIALIZER;
static unsigned long unix_count;
static atomic_ulong client_count, connection_count;

static void client_broken(const struct client *k, const char *what, const char *detail) {
    broken("client %lu, connection %lu: %s: %s", k->number, k->connection, what, detail);
}

/* ---- Connecting ---- */

static redisContext *open_context(struct client *k) {
    struct timeval tv = {k->timeout_ms / 1000, k->timeout_ms % 1000 * 1000};
    int port = k->refused_port ? play->proxy->closed_port : play->proxy->port[k->way % 2];
    redisOptions o = {0};
    if (k->way == PROXY_UNIX) {
        if (rng_percent(&k->rng, 50)) return redisConnectUnixWithTimeout(play->proxy->path, tv);
        REDIS_OPTIONS_SET_UNIX(&o, play->proxy->path);
    } else {
        if (rng_percent(&k->rng, 30)) return redisConnectWithTimeout("127.0.0.1", port, tv);
        if (rng_percent(&k->rng, 30)) return redisConnect("127.0.0.1", port);
        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    }
    o.connect_timeout = o.command_timeout = &tv;
    return redisConnectWithOptions(&o);
}

/* Was there a reason that it could not connect? A reset may come before connecting has ended. */
static void check_failed(struct client *k, int error) {
    int in_time = now_us() - k->connecting < (int64_t)k->timeout_ms * 1000 - 2000;
    int expected = k->refused_port ? ECONNREFUSED : k->way != PROXY_UNIX ? ECONNRESET : 0;
    tally(FAILED);
    if (k->c->err != REDIS_ERR_IO || (error != expected && (error != ETIMEDOUT || in_time)))
        client_broken(k, "cannot connect", k->c->errstr);
}

/* The first time, or again. The place among the connections of a unix socket is known only if nobody
 * else connects meanwhile. */
static int connect_once(struct client *k) {
    int ordered = k->way == PROXY_UNIX;
    k->connecting = now_us();
    if (ordered) pthread_mutex_lock(&unix_order);
    if (k->c == NULL) k->c = open_context(k);
    else redisReconnect(k->c);
    int error = errno;
    if (k->c == NULL) abort();
    unsigned long number = unix_count;
    if (ordered && k->c->fd >= 0) unix_count++;
    if (ordered) pthread_mutex_unlock(&unix_order);

    tally(CONNECTIONS);
    k->connection = atomic_fetch_add(&connection_count, 1);
    k->harmed_at = NULL;
    if (k->c->err != 0) {
        check_failed(k, error);
        return 0;
    }
    if (k->refused_port) client_broken(k, "connected", "nobody listens there");
    if (planted("descriptor") && dup(k->c->fd) < 0) abort();
    if (planted("leak") && hi_malloc(1) == NULL) abort();
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    if (ordered) k->harmed_at = &play->proxy->report->harmed_at[k->way][number % PROXY_SLOTS];
    else if (getsockname(k->c->fd, (struct sockaddr *)&a, &len) == 0)
        k->harmed_at = &play->proxy->report->harmed_at[k->way][ntohs(a.sin_port)];
    /* Not every way to connect sets it, and without one a client may wait for ever. */
    struct timeval tv = {k->timeout_ms / 1000, k->timeout_ms % 1000 * 1000};
    if (redisSetTimeout(k->c, tv) != REDIS_OK) client_broken(k, "redisSetTimeout", k->c->errstr);
    return 1;
}

static void new_model(struct client *k) {
    char name[KEY_ROOM];
    snprintf(name, sizeof(name), "%llx:b%lu", (unsigned long long)play->seed, k->connection);
    model_end(&k->model);
    model_begin(&k->model, rng_of(play->seed, 'b', rng_next(&k->rng)), name,
                rng_percent(&k->rng, 10) ? VALUE_BITS : 17);
}

/* ---- Errors ---- */

/* Is this error one that the proxy has caused? */
static void check_error(struct client *k) {
    int error = errno;
    int64_t waited = now_us() - k->began;
    tally(LOST);
    if (k->c->err == REDIS_ERR_IO && error == EAGAIN) {
        tally(TIMEOUTS);
        if (waited < (int64_t)k->timeout_ms * 1000 - 2000)
            client_broken(k, "a timeout too early", k->c->errstr);
    } else if (k->c->err != REDIS_ERR_IO && k->c->err != REDIS_ERR_EOF) {
        client_broken(k, "an error", k->c->errstr);
    } else if (k->harmed_at != NULL && atomic_load(k->harmed_at) < k->connecting) {
        client_broken(k, "an error, and nobody has harmed it", k->c->errstr);
    }
}

static int get_reply(struct client *k, redisReply **reply) {
    void *r = NULL;
    k->began = now_us();
    int status = redisGetReply(k->c, &r);
    if (status != REDIS_OK && r != NULL) client_broken(k, "redisGetReply", "an error and a reply");
    if (status == REDIS_OK && r == NULL) client_broken(k, "redisGetReply", "neither an error nor a reply");
    *reply = r;
    return status == REDIS_OK && r != NULL;
}

/* Replies that had arrived before the error are still given out, in their order; then the error stays
 * until the program connects again. Returns how many commands of `n` are answered now. */
static size_t take_rest(struct client *k, size_t got, size_t n) {
    for (void *r = NULL; redisGetReply(k->c, &r) == REDIS_OK; got++) {
        if (r == NULL || got == n || !want_met(&k->wants[got], r)) {
            client_broken(k, "after an error", reply_words(r));
            freeReplyObject(r);
            return got;
        }
        freeReplyObject(r);
        tally(ANSWERED);
    }
    if (rng_percent(&k->rng, 20) && redisCommand(k->c, "PING") != NULL)
        client_broken(k, "a reply", "after an error");
    return got;
}

/* ---- Work ---- */

static void append(struct client *k, const struct command *c) {
    int status;
    if (c->argc == 2 && rng_percent(&k->rng, 50))
        status = redisAppendCommand(k->c, "%s %b", c->argv[0], c->argv[1], c->len[1]);
    else
        status = redisAppendCommandArgv(k->c, c->argc, (const char **)(uintptr_t)c->argv, c->len);
    if (status != REDIS_OK) client_broken(k, c->argv[0], k->c->errstr);
    tally(COMMANDS);
}

/* One pipeline; 0 when the connection was lost. */
static int pipeline(struct client *k) {
    struct command c;
    size_t n = rng_size(&k->rng, BATCH_BITS), got = 0;
    for (size_t i = 0; i < n; i++) {
        command_make(&k->model, &c);
        append(k, &c);
        k->wants[i] = c.want;
    }
    for (redisReply *r; got < n && get_reply(k, &r); got++) {
        if (planted("wrong-value")) k->wants[got] = (struct want){.kind = WANT_STATUS, .text = "other"};
        if (planted("lost")) {
            freeReplyObject(r);
            continue;
        }
        if (!want_met(&k->wants[got], r)) {
            client_broken(k, "wanted", want_text(&k->wants[got]));
            client_broken(k, "got", reply_words(r));
        }
        freeReplyObject(r);
        tally(ANSWERED);
        k->answers++;
    }
    int lost = got < n;
    if (lost) {
        check_error(k);
        got = take_rest(k, got, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (i >= got) tally(UNANSWERED);
        want_free(&k->wants[i]);
    }
    return !lost;
}

static int is_message(const redisReply *r, const char *verb, const char *channel) {
    return r->type == REDIS_REPLY_ARRAY && r->elements == 3 && strcmp(r->element[0]->str, verb) == 0 &&
           r->element[1]->str != NULL && strcmp(r->element[1]->str, channel) == 0;
}

static int expect_message(struct client *k, const char *verb, const char *channel, const struct value *v) {
    redisReply *r;
    if (!get_reply(k, &r)) {
        check_error(k);
        return 0;
    }
    int good = is_message(r, verb, channel) &&
               (v == NULL || value_is(*v, r->element[2]->str, r->element[2]->len));
    if (!good) client_broken(k, verb, reply_words(r));
    freeReplyObject(r);
    tally(v == NULL ? SUBSCRIPTIONS : MESSAGES);
    k->answers++;
    return good;
}

/* Subscribes, receives some messages, and leaves. */
static int messages(struct client *k) {
    char channel[64];
    struct value sent[20];
    size_t n = rng_between(&k->rng, 1, 20);
    snprintf(channel, sizeof(channel), "b:%llx:%lu", (unsigned long long)play->seed, k->connection);
    if (redisAppendCommand(k->c, "SUBSCRIBE %s", channel) != REDIS_OK) abort();
    if (!expect_message(k, "subscribe", channel, NULL)) return 0;
    for (size_t i = 0; i < n; i++) {
        sent[i] = value_pick(&k->rng, 12);
        redisReply *r = redisCommand(k->around, "PUBLISH %s %b", channel, value_bytes(sent[i]),
                                     (size_t)sent[i].len);
        if (r == NULL || r->type != REDIS_REPLY_INTEGER) client_broken(k, "PUBLISH", k->around->errstr);
        freeReplyObject(r);
    }
    for (size_t i = 0; i < n; i++)
        if (!expect_message(k, "message", channel, &sent[i])) return 0;
    if (redisAppendCommand(k->c, "UNSUBSCRIBE %s", channel) != REDIS_OK) abort();
    return expect_message(k, "unsubscribe", channel, NULL);
}

/* Until it has all its answers; then the context is freed. */
static void serve_client(struct client *k) {
    while (k->answers < k->goal) {
        if (connect_once(k)) {
            new_model(k);
            while (k->answers < k->goal)
                if (rng_percent(&k->rng, 10) && k->model.in_multi == 0 ? !messages(k) : !pipeline(k)) break;
        }
        if (k->answers < k->goal && (k->refused_port || rng_percent(&k->rng, 30))) {
            redisFree(k->c);
            k->c = NULL;
            k->refused_port = 0;
            k->way = (int)rng_below(&k->rng, PROXY_WAYS);
        }
    }
    redisFree(k->c);
    tally(SESSIONS);
}

static void *thread(void *unused) {
    (void)unused;
    while (tallied(CONNECTIONS) < play->connections && broken_promises() == 0) {
        struct client k = {.number = atomic_fetch_add(&client_count, 1)};
        k.rng = rng_of(play->seed, 'k', k.number);
        k.goal = rng_size(&k.rng, 9);
        k.way = (int)rng_below(&k.rng, PROXY_WAYS);
        k.refused_port = k.way != PROXY_UNIX && rng_percent(&k.rng, 10);
        k.timeout_ms = (int)rng_between(&k.rng, 200, 1500);
        k.around = redisConnectUnix(play->server);
        if (k.around == NULL || k.around->err != 0) abort();
        serve_client(&k);
        model_end(&k.model);
        redisFree(k.around);
    }
    return NULL;
}

void blocking_play(const struct play *with) {
    pthread_t threads[THREADS];
    play = with;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, thread, NULL) != 0) abort();
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    if (tallied(COMMANDS) != tallied(ANSWERED) + tallied(UNANSWERED))
        broken("%lu commands, %lu answers", tallied(COMMANDS), tallied(ANSWERED) + tallied(UNANSWERED));
}
