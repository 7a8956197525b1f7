/* Random frames, commands, faults and calls from callbacks on a scripted connection. Nothing about
 * the order is foreseen here, but: no crash, nothing read that is not ours, no block of memory left,
 * true lists in every callback, every accepted regular command called exactly once, and of a
 * subscription or a monitor no call after its end.
 *
 * TEST_SEED chooses other sequences, TEST_RANDOM_ROUNDS how many each test plays. */
#include "async.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#if HIREDIS_MAJOR >= 1

enum { ROUNDS = 5000, STEPS = 80, TOKENS = 256 };
enum kind { REGULAR, MONITORS, SUBSCRIBES };

static struct {
    conn c;
    int tokens, calls[TOKENS], nulls[TOKENS], accepted[TOKENS];
    enum kind kind[TOKENS];
    const char *words[TOKENS];
    int act_in;                 /* how many callbacks from now does something */
    int faults;                 /* allocations are made to fail */
    int mark;                   /* what messages begin with */
    char *story;
} r;

static const char *const commands[] = {
    "GET k", "PING", "LRANGE l 0 -1", "EXEC", "MULTI", "SUBSCRIBE", "RESET", "QUIT", "HELLO 3", "HELLO 2",
    "CLIENT REPLY ON", "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY", "AUTH x", "SELECT 1",
};
static const char *const subscriptions[] = {
    "SUBSCRIBE a", "SUBSCRIBE a b", "SUBSCRIBE b b c", "PSUBSCRIBE a", "PSUBSCRIBE p* a", "SSUBSCRIBE a",
    "SSUBSCRIBE a b",
};
static const char *const unsubscriptions[] = {
    "UNSUBSCRIBE", "UNSUBSCRIBE a", "UNSUBSCRIBE b x", "PUNSUBSCRIBE", "PUNSUBSCRIBE a", "SUNSUBSCRIBE",
    "SUNSUBSCRIBE a",
};
static const char *const frames[] = {
    "+OK\r\n", "+PONG\r\n", "+QUEUED\r\n", "+RESET\r\n", "$1\r\nV\r\n", "$-1\r\n", ":1\r\n", "*0\r\n",
    "*-1\r\n",     "-ERR no\r\n", "-NOPERM no\r\n", "-MOVED 1 h:1\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    "%1\r\n+proto\r\n:3\r\n", "*2\r\n$5\r\nproto\r\n:2\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "~1\r\n+x\r\n",
    "|1\r\n+ttl\r\n:1\r\n", "*2\r\n|1\r\n+a\r\n:1\r\n:1\r\n:2\r\n",
    ">2\r\n$10\r\ninvalidate\r\n_\r\n", ">0\r\n",
    "+1339518083.107412 [0 127.0.0.1:60866] \"GET\" \"x\"\r\n",
    "*1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n",
};
static const char *const harmless[] = {
    "|1\r\n+ttl\r\n:1\r\n", ">2\r\n$10\r\ninvalidate\r\n_\r\n", ">0\r\n", ">1\r\n|0\r\n+x\r\n",
    ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
};
/* Heads of messages; a name and a tail are put behind. */
static const char *const messages[] = {
    "3\r\n$9\r\nsubscribe\r\n", "3\r\n$10\r\npsubscribe\r\n", "3\r\n$10\r\nssubscribe\r\n",
    "3\r\n$11\r\nunsubscribe\r\n", "3\r\n$12\r\npunsubscribe\r\n", "3\r\n$12\r\nsunsubscribe\r\n",
    "3\r\n$7\r\nmessage\r\n", "4\r\n$8\r\npmessage\r\n$1\r\na\r\n", "3\r\n$8\r\nsmessage\r\n",
};
static const char *const bad_frames[] = {
    "?\r\n", "@foo\r\n", "$x\r\n", "*-5\r\n", "+a\rb\r\n", "$1\r\nxyz", ">1\r\n$9\r\nsubscribe\r\n",
    ">2\r\n$7\r\nmessage\r\n$1\r\na\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:1\r\n",
    ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n$1\r\nx\r\n", ">3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nm\r\n",
    "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n", ">3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",
};

#define PICK(list) list[test_random_below(sizeof(list) / sizeof(list[0]))]

static void tell(const char *what) {
    r.story = test_printf("%s%s; ", r.story, what);
}

static void random_call(void);

static void heard(redisAsyncContext *ac, void *reply, void *privdata) {
    int t = (int)(intptr_t)privdata;
    CHECK(ac == r.c.ac);
    CHECK(ac->c.flags & REDIS_IN_CALLBACK);
    CHECK(r.accepted[t]);
    list_length(&ac->replies);
    list_length(&ac->sub.replies);
    r.calls[t]++;
    if (r.kind[t] == MONITORS && r.nulls[t] > 0) FAIL("a monitor is called after its end\n%s", r.story);
    if (r.kind[t] == REGULAR && r.calls[t] > 1)
        FAIL("t%d %s is called again\n%s", t, r.words[t], r.story);
    if (reply == NULL) r.nulls[t]++;
    if (r.act_in > 0 && --r.act_in == 0) random_call();
}

static void random_push(conn *c, redisReply *reply) {
    (void)c;
    (void)reply;
    if (r.act_in > 0 && --r.act_in == 0) random_call();
}

static void random_status(conn *c, int status) {
    random_push(c, NULL);
    (void)status;
}

static void random_ask(void) {
    int t = r.tokens;
    uint32_t dice = test_random_below(10);
    const char *words = dice < 5 ? PICK(commands) : dice < 8 ? PICK(subscriptions) : "MONITOR";
    if (t == TOKENS) return;
    if (dice == 9) {
        words = PICK(unsubscriptions);
        tell(words);
        redisAsyncCommand(r.c.ac, heard, NULL, words);
        return;
    }
    r.tokens++;
    r.kind[t] = dice < 5 ? REGULAR : dice < 8 ? SUBSCRIBES : MONITORS;
    r.words[t] = words;
    tell(words);
    /* Before the call: it cannot be refused and call nevertheless. */
    r.accepted[t] = 1;
    r.accepted[t] = redisAsyncCommand(r.c.ac, heard, (void *)(intptr_t)t, words) == REDIS_OK;
    if (!r.accepted[t]) tell("(refused)");
}

static void random_call(void) {
    uint32_t dice = test_random_below(20);
    if (dice == 0) {
        tell("<free>");
        redisAsyncFree(r.c.ac);
    } else if (dice == 1) {
        tell("<disconnect>");
        redisAsyncDisconnect(r.c.ac);
    } else if (dice < 5) {
        tell("<events>");
        redisAsyncHandleRead(r.c.ac);
        redisAsyncHandleWrite(r.c.ac);
    } else {
        random_ask();
    }
}

/* owed: how many replies may come before one is unasked for. */
static const char *random_frame(int *owed) {
    static const char *const names[] = {"$1\r\na\r\n", "$1\r\nb\r\n", "$1\r\nc\r\n", "$2\r\np*\r\n"};
    static const char *const tails[] = {":0\r\n", ":1\r\n", ":2\r\n"};
    const redisAsyncContext *ac = r.c.ac;
    uint32_t dice = test_random_below(300);
    if (dice == 0) return PICK(bad_frames);
    /* What nobody asked for ends the connection, so it is rare. */
    if (dice > 1 && *owed == 0 && !(ac->c.flags & REDIS_SUBSCRIBED)) return PICK(harmless);
    if (dice == 1 || (*owed > 0 && dice < 150)) {
        --*owed;
        return PICK(frames);
    }
    const char *head = PICK(messages);
    int mark = test_random_below(200) == 0 ? '>' + '*' - r.mark : r.mark;
    const char *tail = strstr(head, "message") != NULL ? "$1\r\nm\r\n" : PICK(tails);
    return test_printf("%c%s%s%s", mark, head, PICK(names), tail);
}

static void random_serve(void) {
    char *bytes = test_printf("%s", "");
    int owed = (int)(list_length(&r.c.ac->replies) + list_length(&r.c.ac->sub.replies));
    for (uint32_t n = 1 + test_random_below(3); n > 0; n--)
        bytes = test_printf("%s%s", bytes, random_frame(&owed));
    tell(test_printf("<< %s", bytes));
    size_t len = strlen(bytes);
    while (len > 0 && r.c.ac != NULL && r.c.cleanups == 0) {
        size_t n = test_random_below(3) ? len : 1 + test_random_below(len);
        serve_n(&r.c, bytes, n);
        bytes += n;
        len -= n;
    }
}

static void step(void) {
    switch (test_random_below(24)) {
    case 0: flush(&r.c); break;
    case 1: r.act_in = 1 + (int)test_random_below(4); break;
    case 2: case 3: case 4: case 5: case 6: case 7: case 8: random_ask(); break;
    case 9:
        if (test_random_below(10) == 0) {
            tell("hang up");
            hang_up(&r.c);
        }
        break;
    case 10:
        if (test_random_below(10) == 0) {
            tell("disconnect");
            redisAsyncDisconnect(r.c.ac);
        }
        break;
    case 11:
        if (test_random_below(10) == 0) {
            tell("timeout");
            redisAsyncHandleTimeout(r.c.ac);
        }
        break;
    case 12:
        if (r.faults) {
            tell("fault");
            alloc_fail_at(1 + test_random_below(8));
        }
        break;
    default: random_serve();
    }
    if (r.c.ac != NULL && r.c.server >= 0) sent(&r.c);
}

static void play(int faults) {
    static const int option_bits[] = {0, 0, 0, REDIS_OPT_NOAUTOFREE};
    struct timeval tv = {0, 1};
    redisOptions o = {0};
    int fd[2];
    memset(&r, 0, sizeof(r));
    r.story = test_printf("%s", "");
    r.faults = faults;
    r.mark = test_random_below(2) ? '>' : '*';
    conn_zero(&r.c);
    r.c.on_push = random_push;
    r.c.on_connect = r.c.on_disconnect = random_status;
    hand_pair(fd);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd[0];
    o.options = PICK(option_bits);
    if (test_random_below(2)) o.command_timeout = &tv;
    CHECK_INT(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    conn_adopt(&r.c, redisAsyncConnectWithOptions(&o));
    r.c.server = fd[1];
    if (test_random_below(8)) flush(&r.c);
    /* An ended context with REDIS_OPT_NOAUTOFREE takes no more events. */
    for (int i = 0; i < STEPS && r.c.ac != NULL && r.c.cleanups == 0 && r.c.server >= 0; i++) step();
    r.act_in = 0;
    alloc_fail_never();
    if (r.c.ac != NULL) redisAsyncFree(r.c.ac);
    for (int t = 0; t < r.tokens; t++) {
        if (!r.accepted[t] && r.calls[t] > 0) FAIL("t%d was refused and called\n%s", t, r.story);
        if (!r.accepted[t]) continue;
        if (r.kind[t] == REGULAR && r.calls[t] != 1)
            FAIL("t%d %s was called %d times\n%s", t, r.words[t], r.calls[t], r.story);
        if (r.kind[t] == MONITORS && r.calls[t] == 0)
            FAIL("t%d %s was never called\n%s", t, r.words[t], r.story);
    }
    if (r.c.connects == 0 && r.c.disconnects > 0) FAIL("disconnected, but never connected\n%s", r.story);
    conn_done(&r.c);
}

static void play_many(int faults) {
    const char *rounds = getenv("TEST_RANDOM_ROUNDS");
    int n = rounds != NULL ? atoi(rounds) : getenv("TEST_WRAPPER") != NULL ? ROUNDS / 50 : ROUNDS;
    printf("     %d sequences, seed %u\n", n, test_seed());
    fflush(stdout);
    for (int i = 0; i < n; i++) play(faults);
}

TEST(async_random, frames_and_calls, "185") { play_many(0); }
TEST(async_random, frames_and_calls_while_memory_runs_out, "5 185") { play_many(1); }
#endif
