/* A million subscriptions on one connection: all of them are made, messages are published to random
 * ones from another connection, all are ended; and again, in the other protocol. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "loop.h"
#include "memory.h"
#include "random.h"
#include "tally.h"

enum { GROUP = 100, WINDOW = 2000, TEXT = 64 };

struct channel {
    unsigned published, received;
    unsigned char confirmed, ended;
};

static const struct load *load;
static struct channel *channels;
static redisAsyncContext *subscriber, *publisher;
static size_t connected, disconnected, confirmed, ended, answered, pongs;
static size_t under_way; /* PUBLISH without its answer, or message that has not come */
static unsigned long long messages;
static struct rng rng;
static size_t peak; /* of resident memory, of the round */
static int64_t last_sample;

static void on_connect(const redisAsyncContext *ac, int status) {
    if (status != REDIS_OK) broken("no connection: %s", ac->errstr);
    connected++;
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    if (status != REDIS_OK) broken("a connection was lost: %s", ac->errstr);
    disconnected++;
}

static void sample(void) {
    int64_t now = now_us();
    if (now - last_sample < 200000) return;
    last_sample = now;
    size_t resident = resident_bytes();
    if (resident > peak) peak = resident;
}

/* ---- What comes ---- */

static int is_text(const redisReply *r, const char *text) {
    return r->str != NULL && strcmp(r->str, text) == 0;
}

/* Is it the callback that was given for the channel? Half of them were given together with others. */
static int belongs(size_t i, const void *privdata) {
    size_t given = (size_t)(uintptr_t)privdata - 1;
    return i < load->count / 2 ? given == i : given == i - i % GROUP;
}

static void take_message(size_t i, const redisReply *text) {
    char expected[TEXT];
    struct channel *ch = &channels[i];
    snprintf(expected, sizeof(expected), "%zu %u", i, ch->received++);
    if (ch->ended || !ch->confirmed) broken("channel %zu: a message outside the subscription", i);
    if (ch->received > ch->published) broken("channel %zu: more messages than were published", i);
    if (!is_text(text, expected)) broken("channel %zu: wanted \"%s\", got \"%s\"", i, expected, text->str);
    messages++;
    under_way--;
}

static void on_message(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    if (r == NULL) {
        broken("a subscription got NULL: %s", ac->errstr);
        return;
    }
    if (r->elements != 3 || r->element[1]->str == NULL) {
        broken("a subscription got a reply of %zu elements", r->elements);
        return;
    }
    size_t i = strtoul(r->element[1]->str + strlen("load:"), NULL, 10);
    if (planted("misdelivered")) i++;
    if (i >= load->count || !belongs(i, privdata)) {
        broken("%s came to the callback of %zu", r->element[1]->str, (size_t)(uintptr_t)privdata - 1);
    } else if (is_text(r->element[0], "message")) {
        if (planted("lost")) return;
        take_message(i, r->element[2]);
    } else if (is_text(r->element[0], "subscribe")) {
        if (channels[i].confirmed++) broken("channel %zu was confirmed twice", i);
        confirmed++;
    } else if (is_text(r->element[0], "unsubscribe")) {
        if (channels[i].ended++) broken("channel %zu ended twice", i);
        ended++;
    }
}

static void on_published(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    long long receivers = (long long)(uintptr_t)privdata;
    (void)ac;
    if (r == NULL || r->type != REDIS_REPLY_INTEGER || r->integer != receivers)
        broken("PUBLISH: wanted %lld receivers, got %lld", receivers, r != NULL ? r->integer : -1);
    answered++;
    under_way--;
}

static void on_pong(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    (void)ac;
    if (r == NULL || r->type != REDIS_REPLY_STATUS || !is_text(r, privdata))
        broken("PING was answered wrongly");
    pongs++;
}

static void on_hello(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    (void)ac;
    (void)privdata;
    if (r == NULL || r->elements == 0) broken("HELLO was answered wrongly");
}

/* ---- What is done ---- */

static int turn_until(const size_t *counter, size_t goal) {
    size_t limit = 5 + load->count / 10000;
    int64_t end = now_us() + (int64_t)limit * 1000000;
    while (*counter != goal && now_us() < end && broken_promises() == 0) {
        loop_turn(100);
        sample();
    }
    if (*counter != goal && broken_promises() == 0) broken("%zu of %zu after %zu s", *counter, goal, limit);
    return *counter == goal;
}

/* From `first` on, `n` names. */
static void send_names(const char *verb, redisCallbackFn *fn, size_t first, size_t n) {
    static char names[GROUP][24];
    const char *argv[GROUP + 1] = {verb};
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "load:%zu", first + i);
        argv[i + 1] = names[i];
    }
    void *privdata = (void *)(uintptr_t)(first + 1);
    if (redisAsyncCommandArgv(subscriber, fn, privdata, (int)n + 1, argv, NULL) != REDIS_OK)
        broken("%s was refused: %s", verb, subscriber->errstr);
}

/* Commands of one name, then of many. */
static int subscribe_all(void) {
    size_t half = load->count / 2;
    for (size_t i = 0; i < load->count; i += i < half ? 1 : GROUP) {
        send_names("SUBSCRIBE", on_message, i, i < half ? 1 : GROUP);
        if (i % 1000 == 0) loop_turn(0);
    }
    return turn_until(&confirmed, load->count);
}

/* By names, then what is left without. */
static int unsubscribe_all(void) {
    size_t half = load->count / 2, pong = pongs + 1;
    for (size_t i = 0; i < half; i += GROUP) {
        send_names("UNSUBSCRIBE", NULL, i, GROUP);
        if (i % 1000 == 0) loop_turn(0);
    }
    if (redisAsyncCommand(subscriber, NULL, NULL, "UNSUBSCRIBE") != REDIS_OK)
        broken("UNSUBSCRIBE was refused: %s", subscriber->errstr);
    if (redisAsyncCommand(subscriber, on_pong, (void *)(uintptr_t) "PONG", "PING") != REDIS_OK)
        broken("PING was refused: %s", subscriber->errstr);
    return turn_until(&ended, load->count) && turn_until(&pongs, pong);
}

/* One message; a tenth goes where nobody listens. */
static void publish(void) {
    char text[TEXT];
    size_t i = rng_below(&rng, load->count + load->count / 10);
    int heard = i < load->count;
    snprintf(text, sizeof(text), "%zu %u", i, heard ? channels[i].published++ : 0);
    if (redisAsyncCommand(publisher, on_published, (void *)(uintptr_t)heard, "PUBLISH load:%lu %s",
                          (unsigned long)i, text) != REDIS_OK)
        broken("PUBLISH was refused: %s", publisher->errstr);
    under_way += 1 + (size_t)heard;
}

static int publish_for(int64_t us) {
    struct pace pace = {.rate = load->rate};
    int64_t end = now_us() + us;
    while (now_us() < end && broken_promises() == 0) {
        size_t due = pace_due(&pace);
        for (; due > 0 && under_way < WINDOW; due--) publish();
        loop_turn(1);
        sample();
    }
    return turn_until(&under_way, 0);
}

/* ---- Rounds ---- */

static redisAsyncContext *open_context(void) {
    redisAsyncContext *ac = redisAsyncConnectUnix(load->server);
    if (ac == NULL || ac->err != 0 || loop_attach(ac) != REDIS_OK ||
        redisAsyncSetConnectCallback(ac, on_connect) != REDIS_OK ||
        redisAsyncSetDisconnectCallback(ac, on_disconnect) != REDIS_OK)
        abort();
    return ac;
}

/* What the library, besides the buffers of the two connections, and the process held at some point. */
struct held {
    size_t bytes, resident;
};

static size_t buffers(const redisAsyncContext *ac) {
    return sdsAllocSize(ac->c.obuf) + sdsAllocSize(ac->c.reader->buf);
}

static struct held held_now(void) {
    return (struct held){memory_bytes() - buffers(subscriber) - buffers(publisher), resident_bytes()};
}

static double mib(size_t bytes) { return (double)bytes / 1048576; }

/* All the subscriptions once; `full` and `after` tell what was held with all of them and with none. */
static int round_of(int protocol, int64_t us, struct held *full, struct held *after) {
    unsigned long long messages_before = messages;
    int64_t begun = now_us();
    memset(channels, 0, load->count * sizeof(*channels));
    confirmed = ended = peak = 0;
    if (redisAsyncCommand(subscriber, on_hello, NULL, "HELLO %d", protocol) != REDIS_OK) abort();
    if (!subscribe_all()) return 0;
    int64_t subscribed = now_us();
    if (!publish_for(us)) return 0;
    malloc_trim(0);
    *full = held_now();
    int64_t published = now_us();
    if (!unsubscribe_all()) return 0;
    int64_t unsubscribed = now_us();
    for (size_t i = 0; i < load->count; i++)
        if (channels[i].received != channels[i].published)
            broken("channel %zu: %u messages of %u", i, channels[i].received, channels[i].published);
    if (planted("leak") && hi_malloc(100) == NULL) abort();
    malloc_trim(0);
    *after = held_now();
    printf("     protocol %d: subscribed in %.1f s, %llu messages in %.1f s, unsubscribed in %.1f s;"
           " library %.1f MiB, then %.3f; resident %.1f MiB, at most %.1f, then %.1f\n",
           protocol, (double)(subscribed - begun) / 1e6, messages - messages_before,
           (double)(published - subscribed) / 1e6, (double)(unsubscribed - published) / 1e6, mib(full->bytes),
           mib(after->bytes), mib(full->resident), mib(peak), mib(after->resident));
    fflush(stdout);
    return broken_promises() == 0;
}

/* The rule: with no subscription left the library holds what it held before the first, but for the spare
 * records of a connection that has been used (64 KiB). From the third round on nothing is higher than in
 * the second: what the library and the process hold with all subscriptions (1 %, 4 %), what the process
 * holds with none (2 MiB). The buffers, of up to some MiB, count as resident. */
static void compare(size_t bytes_before, int round, const struct held *full, const struct held *after) {
    static struct held second_full, second_after;
    if (after->bytes > bytes_before + 65536)
        broken("%zu bytes before the subscriptions, %zu after", bytes_before, after->bytes);
    if (round == 1) {
        second_full = *full;
        second_after = *after;
    }
    if (round < 2) return;
    if (full->bytes > second_full.bytes + second_full.bytes / 100)
        broken("all subscriptions take %zu bytes, and took %zu", full->bytes, second_full.bytes);
    if (full->resident > second_full.resident + second_full.resident / 25)
        broken("resident memory with all grows: %zu bytes, and before %zu", full->resident,
               second_full.resident);
    if (after->resident > second_after.resident + (2 << 20))
        broken("resident memory with none grows: %zu bytes, and before %zu", after->resident,
               second_after.resident);
}

void load_subscriptions(const struct load *with) {
    enum { LEAST_ROUNDS = 4, ROUNDS = 6 };
    struct held full, after;
    int64_t begun = now_us();
    load = with;
    rng = rng_of(load->seed, 'p', 0);
    channels = calloc(load->count, sizeof(*channels));
    if (channels == NULL || load->count % (2 * GROUP) != 0) abort();
    subscriber = open_context();
    publisher = open_context();
    if (turn_until(&connected, 2)) {
        size_t bytes_before = held_now().bytes;
        int round = 0;
        for (; round < LEAST_ROUNDS || now_us() - begun < load->us; round++) {
            if (!round_of(2 + round % 2, load->us / ROUNDS, &full, &after)) break;
            compare(bytes_before, round, &full, &after);
        }
        printf("     %zu subscriptions %d times, %llu messages in %.0f s\n", load->count, round, messages,
               (double)(now_us() - begun) / 1e6);
    }
    redisAsyncDisconnect(subscriber);
    redisAsyncDisconnect(publisher);
    turn_until(&disconnected, 2);
    free(channels);
}
