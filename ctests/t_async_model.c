/* Random commands on a live connection, in batches, against a model of the server and of what the
 * callbacks must get. Every command has a token of its own; what its callback gets is collected by
 * token and channel and must be, word for word, what the model says.
 *
 * The model keeps to what is certain: only a PING follows a RESET in its batch, CLIENT REPLY stays away
 * from MONITOR and from RESP2 subscriptions.
 *
 * TEST_SEED chooses other sequences, TEST_MODEL_ROUNDS how many each test plays. */
#include "async.h"

#include <stdio.h>
#include <stdlib.h>

#if HIREDIS_MAJOR >= 1

enum { ROUNDS = 5000, BATCHES = 4, TOKENS = 48, NAMES = 3, TEXT = 2000 };
enum kind { CHANNEL, PATTERN, SHARD, KINDS };
enum { REGULAR = KINDS * NAMES, KEYS };     /* where the words of a token are collected */

enum what { PING, ECHO, WRONG, SUBSCRIBE, FORBIDDEN, UNSUBSCRIBE, MONITOR, RESET, HELLO, REPLY_OFF, REPLY_ON,
            REPLY_SKIP, WHATS };

struct op {
    enum what what;
    enum kind kind;
    int token, names, name[2], number;
};

/* What the client has registered under a name, and what the server knows of it. */
struct entry {
    int exists, pending, token, subscribed;
};

static struct {
    conn c;
    int protocol, off, skip, monitor, restricted;   /* monitor: its token or -1 */
    struct entry entry[KINDS][NAMES];
    int tokens, regular[TOKENS], calls[TOKENS];
    struct op batch[16];
    int ops;
    int words, wanted;          /* in all */
    int end_at;                 /* the word at which the callback ends the context, 0: never */
    int end_by_free;
    char story[4000];
} m;

/* The words of each token, by channel. */
static char want[TOKENS][KEYS][TEXT], got[TOKENS][KEYS][TEXT];

static const char *const prefix[KINDS] = {"", "P", "S"};
static const char *const stem[KINDS] = {"mc", "mp", "ms"};

static void put(char buf[TEXT], const char *word) {
    size_t len = strlen(buf);
    if (len + strlen(word) + 2 > TEXT) FAIL("too many words for one token: %s", buf);
    sprintf(buf + len, "%s%s", len > 0 ? " " : "", word);
}

static void tell(const char *format, ...) {
    size_t len = strlen(m.story);
    va_list ap;
    va_start(ap, format);
    vsnprintf(m.story + len, sizeof(m.story) - len, format, ap);
    va_end(ap);
}

/* ---- What the callbacks get --------------------------------------------------- */

static int find_key(const redisReply *r, char *word) {
    static const char *const said[] = {"subscribe", "unsubscribe", "message"};
    if (r == NULL || r->elements < 3 || r->element[0]->type != REDIS_REPLY_STRING) return REGULAR;
    if (r->element[1]->type != REDIS_REPLY_STRING) return REGULAR;
    const char *text = r->element[0]->str, *name = r->element[1]->str;
    for (int kind = 0; kind < KINDS; kind++) {
        if (strncmp(name, stem[kind], 2) != 0) continue;
        if (kind == PATTERN && text[0] == 'p') text++;
        if (kind == SHARD && text[0] == 's' && text[1] != 'u') text++;
        else if (kind == SHARD && strncmp(text, "su", 2) == 0 && strncmp(text, "subs", 4) != 0) text++;
        for (int i = 0; i < 3; i++) {
            if (strcmp(text, said[i]) != 0) continue;
            const redisReply *payload = r->element[r->elements - 1];
            if (i == 2) sprintf(word, "message(%.20s)", payload->str);
            else strcpy(word, said[i]);
            return kind * NAMES + (name[2] - '0');
        }
    }
    return REGULAR;
}

static void heard(redisAsyncContext *ac, void *reply, void *privdata) {
    const redisReply *r = reply;
    int token = (int)(intptr_t)privdata, key;
    char word[200];
    CHECK(ac == m.c.ac);
    list_length(&ac->replies);
    list_length(&ac->sub.replies);
    key = m.regular[token] ? REGULAR : find_key(r, word);
    if (key == REGULAR) {
        const char *line = r != NULL && r->type == REDIS_REPLY_STATUS ? strstr(r->str, "] ") : NULL;
        if (r == NULL) strcpy(word, "NULL");
        else if (r->type == REDIS_REPLY_ERROR) snprintf(word, sizeof(word), "-%.6s", r->str);
        else if (r->type == REDIS_REPLY_MAP) strcpy(word, "map");
        else if (r->type == REDIS_REPLY_ARRAY && r->elements > 10) strcpy(word, "list");
        else if (line != NULL) snprintf(word, sizeof(word), "@%s", line + 2);
        else snprintf(word, sizeof(word), "%s", reply_text(r));
    }
    put(got[token][key], word);
    m.calls[token]++;
    m.words++;
    if (m.words == m.end_at) {
        if (m.end_by_free) redisAsyncFree(ac);
        else redisAsyncDisconnect(ac);
    }
}

/* ---- What they must get --------------------------------------------------------- */

static void expect(int token, int key, const char *word) {
    put(want[token][key], word);
    m.wanted++;
}

static int server_subscribed(void) {
    int n = 0;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < NAMES; i++) n += m.entry[k][i].subscribed;
    return n;
}

static void expect_all_null(void) {
    for (int k = 0; k < KINDS; k++) {
        for (int i = 0; i < NAMES; i++) {
            struct entry *e = &m.entry[k][i];
            if (e->exists) expect(e->token, REGULAR, "NULL");
            memset(e, 0, sizeof(*e));
        }
    }
    if (m.monitor >= 0) expect(m.monitor, REGULAR, "NULL");
    m.monitor = -1;
}

static void unsubscribed(enum kind kind, int i) {
    struct entry *e = &m.entry[kind][i];
    e->subscribed = 0;
    if (!e->exists) return;
    expect(e->token, kind * NAMES + i, "unsubscribe");
    if (e->pending == 0) e->exists = 0;
}

static const char *words_of(const struct op *o) {
    const char *t = test_printf("t%d", o->token), *p = prefix[o->kind];
    switch (o->what) {
    case PING: return test_printf("PING %s", t);
    case ECHO: return test_printf("ECHO %s", t);
    case WRONG: return "NOSUCHCOMMAND";
    case FORBIDDEN: return test_printf("%sSUBSCRIBE forbidden%d", p, o->token);
    case MONITOR: return "MONITOR";
    case RESET: return "RESET";
    case HELLO: return test_printf("HELLO %d", o->number);
    case REPLY_OFF: return "CLIENT REPLY OFF";
    case REPLY_ON: return "CLIENT REPLY ON";
    case REPLY_SKIP: return "CLIENT REPLY SKIP";
    default: break;
    }
    char *text = test_printf("%s%s", p, o->what == SUBSCRIBE ? "SUBSCRIBE" : "UNSUBSCRIBE");
    for (int i = 0; i < o->names; i++) text = test_printf("%s %s%d", text, stem[o->kind], o->name[i]);
    return text;
}

static void monitor_shows(const struct op *o) {
    if (m.monitor < 0) return;
    const char *words = words_of(o), *space;
    char *line = test_printf("@");
    for (; (space = strchr(words, ' ')) != NULL; words = space + 1)
        line = test_printf("%s\"%.*s\" ", line, (int)(space - words), words);
    expect(m.monitor, REGULAR, test_printf("%s\"%s\"", line, words));
}

/* The server handles one command. */
static void serve_op(const struct op *o) {
    int quiet = m.off || m.skip, refused = 0;
    const char *text = NULL;
    if (m.protocol == 2 && server_subscribed() > 0)
        refused = o->what != PING && o->what != SUBSCRIBE && o->what != UNSUBSCRIBE && o->what != FORBIDDEN &&
                  o->what != RESET;
    m.skip = 0;
    if (refused) text = o->what == WRONG ? "-ERR un" : "-ERR Ca";
    else switch (o->what) {
    case PING:
        text = m.protocol == 2 && server_subscribed() > 0 ? test_printf("*[\"pong\" \"t%d\"]", o->token)
                                                          : test_printf("\"t%d\"", o->token);
        break;
    case ECHO: text = test_printf("\"t%d\"", o->token); break;
    case WRONG: text = "-ERR un"; break;
    case FORBIDDEN: text = "-NOPERM"; break;
    case SUBSCRIBE:
        for (int i = 0; i < o->names; i++) {
            struct entry *e = &m.entry[o->kind][o->name[i]];
            e->subscribed = 1;
            e->pending--;
            expect(e->token, o->kind * NAMES + o->name[i], "subscribe");
        }
        break;
    case UNSUBSCRIBE:
        if (o->names > 0) {
            for (int i = 0; i < o->names; i++) unsubscribed(o->kind, o->name[i]);
        } else {
            for (int i = 0; i < NAMES; i++)
                if (m.entry[o->kind][i].subscribed) unsubscribed(o->kind, i);
        }
        break;
    case MONITOR:
        /* The second time the server says nothing. */
        text = m.monitor >= 0 ? "NULL" : "+OK";
        if (m.monitor < 0) m.monitor = o->token;
        break;
    case RESET:
        expect_all_null();
        m.protocol = 2;
        m.off = m.skip = quiet = m.restricted = 0;
        text = "+RESET";
        break;
    case HELLO:
        m.protocol = o->number;
        text = o->number == 3 ? "map" : "list";
        break;
    case REPLY_OFF:
        m.off = 1;
        quiet = 1;
        text = "";
        break;
    case REPLY_ON:
        m.off = quiet = 0;
        text = "+OK";
        break;
    case REPLY_SKIP:
        if (!m.off) m.skip = 1;
        quiet = 1;
        text = "";
        break;
    case WHATS: break;
    }
    if (text != NULL) expect(o->token, REGULAR, quiet ? "NULL" : text);
    if (!refused && o->what != MONITOR && o->what != RESET && o->what != WRONG && o->what != FORBIDDEN)
        monitor_shows(o);
}

/* ---- Asking ------------------------------------------------------------------------ */

static int choose(struct op *o) {
    int off = m.off, skip = m.skip;
    for (int i = 0; i < m.ops; i++) {
        const struct op *b = &m.batch[i];
        skip = b->what == REPLY_SKIP;
        if (b->what == REPLY_OFF) off = 1;
        if (b->what == REPLY_ON) off = 0;
        if (b->what == RESET) return 0;
    }
    memset(o, 0, sizeof(*o));
    o->what = (enum what)test_random_below(WHATS);
    if (test_random_below(2) == 0) o->what = test_random_below(3) > 0 ? SUBSCRIBE : UNSUBSCRIBE;
    o->kind = (enum kind)test_random_below(KINDS);
    o->number = 2 + (int)test_random_below(2);
    o->names = (int)test_random_below(3);
    if (o->what == SUBSCRIBE && o->names == 0) o->names = 1;
    for (int i = 0; i < o->names; i++) o->name[i] = (int)test_random_below(NAMES);

    int subscribing = server_subscribed() > 0, monitoring = m.monitor >= 0, resp2 = m.protocol == 2;
    for (int i = 0; i < m.ops; i++) {
        if (m.batch[i].what == SUBSCRIBE) subscribing = 1;
        if (m.batch[i].what == MONITOR) monitoring = 1;
        if (m.batch[i].what == HELLO) resp2 |= m.batch[i].number == 2;
    }
    int replying = o->what == REPLY_OFF || o->what == REPLY_SKIP || o->what == REPLY_ON;
    int listening = o->what == SUBSCRIBE || o->what == UNSUBSCRIBE || o->what == FORBIDDEN;
    if (replying && (monitoring || (subscribing && resp2))) return 0;
    if ((off || skip) && (o->what == MONITOR || o->what == HELLO || listening)) return 0;
    if (skip && o->what == RESET) return 0;
    if (o->what == MONITOR && subscribing && resp2) return 0;
    if (o->what == FORBIDDEN && !m.restricted) return 0;
    if (o->what == RESET && test_random_below(3) > 0) return 0;
    return m.tokens < TOKENS - 2 * BATCHES;
}

static void ask_op(struct op *o) {
    o->token = m.tokens++;
    m.regular[o->token] = o->what == SUBSCRIBE ? 0 : o->what == MONITOR ? 2 : 1;
    const char *words = words_of(o);
    tell("%s%s", m.ops > 0 ? "; " : "", words);
    int accepted = o->what != UNSUBSCRIBE || (m.c.ac->c.flags & REDIS_SUBSCRIBED);
    int status = redisAsyncCommand(m.c.ac, heard, (void *)(intptr_t)o->token, words);
    if (status != (accepted ? REDIS_OK : REDIS_ERR)) FAIL("%s: status %d\n%s", words, status, m.story);
    if (!accepted) return;
    m.batch[m.ops++] = *o;
    if (o->what != SUBSCRIBE) return;
    for (int i = 0; i < o->names; i++) {
        struct entry *e = &m.entry[o->kind][o->name[i]];
        e->exists = 1;
        e->pending++;
        e->token = o->token;
    }
}

/* ---- Playing ----------------------------------------------------------------------- */

static void run_until_heard(void) {
    double end = test_now() + 10;
    while (m.c.ac != NULL && m.words < m.wanted) {
        if (test_now() > end) break;
        conn_step(&m.c, 20);
    }
}

static int begins(const char *text, const char *with) {
    size_t n = strlen(with);
    return strncmp(text, with, n) == 0 && (text[n] == '\0' || text[n] == ' ');
}

/* Everybody has heard what the model says; when the context was ended on the way, not more than
 * that, and regular commands exactly one thing. */
static void compare(int ended) {
    for (int t = 0; t < m.tokens; t++) {
        for (int k = 0; k < KEYS; k++) {
            const char *w = want[t][k], *g = got[t][k];
            if (!ended && strcmp(g, w) != 0)
                FAIL("t%d got \"%s\", wanted \"%s\" (%d of %d words)\n%s", t, g, w, m.words, m.wanted,
                     m.story);
            if (ended && k != REGULAR && g[0] != '\0' && !begins(w, g))
                FAIL("t%d got \"%s\", wanted no more than \"%s\"\n%s", t, g, w, m.story);
        }
        if (!ended || want[t][REGULAR][0] == '\0') continue;
        if (m.regular[t] == 1 && m.calls[t] != 1) FAIL("t%d was called %d times\n%s", t, m.calls[t], m.story);
        if (m.regular[t] == 2 && m.calls[t] < 1) FAIL("t%d was never called\n%s", t, m.story);
    }
}

static void check_flags(void) {
    int flags = m.c.ac->c.flags;
    if (((flags & REDIS_SUBSCRIBED) != 0) != (server_subscribed() > 0))
        FAIL("subscribed is %d, flags %#x\n%s", server_subscribed(), (unsigned)flags, m.story);
    if (((flags & REDIS_MONITORING) != 0) != (m.monitor >= 0))
        FAIL("monitoring is %d, flags %#x\n%s", m.monitor >= 0, (unsigned)flags, m.story);
    if (m.skip == 0 && (m.c.ac->replies.head != NULL || m.c.ac->sub.replies.head != NULL) && m.monitor < 0)
        FAIL("callbacks are left in the lists\n%s", m.story);
}

static void publish(redisContext *pub) {
    enum kind kind = (enum kind)test_random_below(KINDS);
    int i = (int)test_random_below(NAMES);
    const struct entry *e = &m.entry[kind][i];
    const char *command = kind == SHARD ? "SPUBLISH" : "PUBLISH";
    const char *name = test_printf("%s%d", stem[kind], i);
    tell(" | %s %s", command, name);
    CHECK_INT(sync_int(pub, "%s %s hi", command, name), e->subscribed);
    if (e->subscribed) expect(e->token, kind * NAMES + i, "message(hi)");
    if (m.monitor >= 0 && !m.off)
        expect(m.monitor, REGULAR, test_printf("@\"%s\" \"%s\" \"hi\"", command, name));
}

static void play(redisContext *pub, int protocol, int ending) {
    memset(&m, 0, sizeof(m));
    for (int t = 0; t < TOKENS; t++)
        for (int k = 0; k < KEYS; k++) want[t][k][0] = got[t][k][0] = '\0';
    m.protocol = protocol;
    m.monitor = -1;
    conn_live(&m.c, protocol);
    if (test_random_below(2) == 0) {
        m.restricted = 1;
        ask(&m.c, "auth", "AUTH model pw");
        PUMP_LOG(&m.c, "auth:+OK");
    }
    tell("RESP%d: ", protocol);
    if (ending) {
        m.end_at = 1 + (int)test_random_below(20);
        m.end_by_free = (int)test_random_below(2);
        tell("(%s at word %d) ", m.end_by_free ? "free" : "disconnect", m.end_at);
    }
    for (int b = 0; b < BATCHES && m.c.ac != NULL; b++) {
        int size = 1 + (int)test_random_below(7);
        m.ops = 0;
        tell("%s[", b > 0 ? " " : "");
        for (int i = 0; i < size; i++) {
            struct op o;
            if (choose(&o)) ask_op(&o);
        }
        /* Answers that nobody hears must not come after the next batch has been asked. */
        for (int pings = m.ops > 0 && m.batch[m.ops - 1].what == REPLY_SKIP ? 2 : 1; pings > 0; pings--) {
            struct op ping = {.what = PING};
            ask_op(&ping);
        }
        tell("]");
        for (int i = 0; i < m.ops; i++) serve_op(&m.batch[i]);
        run_until_heard();
        if (m.c.ac == NULL || (m.end_at > 0 && m.words >= m.end_at)) break;
        compare(0);
        /* Without an answer to the PING the server may not have come to it yet. */
        if (m.skip > 0 || m.off) continue;
        check_flags();
        if (test_random_below(2) == 0) publish(pub);
        run_until_heard();
    }
    if (m.c.ac != NULL && m.end_at == 0) {
        tell(test_random_below(2) ? " free" : " disconnect");
        int by_free = m.story[strlen(m.story) - 1] == 'e';
        expect_all_null();
        if (by_free) redisAsyncFree(m.c.ac);
        else redisAsyncDisconnect(m.c.ac);
    }
    if (m.c.ac != NULL && m.words < m.end_at) redisAsyncFree(m.c.ac);
    for (double end = test_now() + 10; m.c.ac != NULL && test_now() < end;) conn_step(&m.c, 20);
    if (m.c.ac != NULL) FAIL("the context does not end\n%s", m.story);
    compare(m.end_at > 0);
    CHECK_INT(m.c.disconnects, 1);
    conn_done(&m.c);
}

static void play_many(int protocol, int ending) {
    const char *rounds = getenv("TEST_MODEL_ROUNDS");
    int n = rounds != NULL ? atoi(rounds) : getenv("TEST_WRAPPER") != NULL ? ROUNDS / 50 : ROUNDS;
    redisContext *pub = live_sync();
    printf("     %d sequences, seed %u\n", n, test_seed());
    fflush(stdout);
    sync_text(pub, "ACL SETUSER model on >pw ~* resetchannels &mc* &mp0 &mp1 &mp2 &ms* +@all");
    for (int i = 0; i < n; i++) {
        size_t live = alloc_live();
        play(pub, protocol, ending);
        if (alloc_live() != live) FAIL("%zu blocks are left\n%s", alloc_live() - live, m.story);
    }
    sync_text(pub, "ACL DELUSER model");
    sync_done(pub);
}

TEST(async_model, random_commands_in_resp2, "") { play_many(2, 0); }
TEST(async_model, random_commands_in_resp3, "") { play_many(3, 0); }
TEST(async_model, random_commands_and_an_end_from_a_callback_in_resp2, "") { play_many(2, 1); }
TEST(async_model, random_commands_and_an_end_from_a_callback_in_resp3, "") { play_many(3, 1); }
#endif
