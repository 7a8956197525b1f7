#include "session.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "loop.h"
#include "memory.h"
#include "tally.h"
#include "way.h"

enum { AT_ONCE = 300, NAMES = 3, ARENA = 64, PROBES = 2 };
enum ending { NOT_ENDING, BY_DISCONNECT, BY_FREE };
enum token_state { ACCEPTED, CALLED, REFUSED_ONE, SILENT };

/* A command, kept until the round is over: a callback that comes too late finds it, too. */
struct token {
    struct link *link;
    struct token *next; /* in the order of the commands */
    struct want want;
    int64_t issued;
    unsigned char state, calls;
};

struct tokens {
    struct tokens *next;
    size_t used;
    struct token token[ARENA];
};

/* One SUBSCRIBE or PSUBSCRIBE with its names. */
struct subscription {
    struct link *link;
    struct subscription *next;
    int pattern, names, unsubscribed;
    char name[NAMES][64];
    int confirmed[NAMES], finals[NAMES], nulls;
    unsigned published[NAMES], received[NAMES];
};

/* A connection, from the call that makes it to dataCleanup; the record stays until the end. */
struct link {
    struct session *session; /* NULL for the publisher */
    redisAsyncContext *ac;
    unsigned long number;
    struct link *older;
    struct model model;
    struct rng rng;
    const atomic_llong *harmed_at; /* NULL when there is no telling */
    int way, resp3;
    struct opened opened;
    int64_t begun;
    int connects, connected, disconnects, cleaned;
    enum ending ending;
    struct token *oldest, *newest;
    struct tokens *tokens;
    size_t pending; /* with a callback */
    int64_t lost_issue; /* of the oldest command that got NULL */
    struct subscription *subscriptions;
    int subscribed;     /* names, once the server has executed what was sent */
    unsigned probes;
    struct link *next_kept;
};

struct session {
    unsigned long number, answers, goal;
    struct rng rng;
    int kind; /* of the connections: RESP2, RESP3, RESP2 with subscriptions */
    struct link *link;
    int64_t next_try; /* when there is none */
    int done;
};

enum { PLAIN, PROTOCOL_3, SUBSCRIBER };

static const struct play *play;
static struct session sessions[AT_ONCE];
static struct link *links;
static struct link *kept; /* whose contexts wait for redisAsyncFree */
static unsigned long link_count, session_count, unix_count;
static struct link *publisher;
static int64_t last_progress;
static int live_contexts;

static void session_connect(struct session *s);
static void link_go_on(struct link *l);

static void wrong(const struct link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(const struct link *l, const char *format, ...) {
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    broken("connection %lu: %s", l->number, text);
}

/* ---- Commands ---- */

static struct token *token_new(struct link *l, struct want want) {
    struct tokens *a = l->tokens;
    if (a == NULL || a->used == ARENA) {
        a = calloc(1, sizeof(*a));
        if (a == NULL) abort();
        a->next = l->tokens;
        l->tokens = a;
    }
    struct token *t = &a->token[a->used++];
    t->link = l;
    t->want = want;
    t->issued = now_us();
    return t;
}

static struct token *shift(struct link *l) {
    struct token *t = l->oldest;
    if (t == NULL) return NULL;
    l->oldest = t->next;
    if (l->oldest == NULL) l->newest = NULL;
    if (t->state != SILENT) l->pending--;
    return t;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata);

/* One call of the library, in one of three ways, or four without a callback. */
static int send_command(struct link *l, redisCallbackFn *fn, void *privdata, const struct command *c) {
    char *bytes = NULL;
    long long len;
    int status;
    switch (rng_below(&l->rng, 3)) {
    case 0:
        return redisAsyncCommandArgv(l->ac, fn, privdata, c->argc, (const char **)(uintptr_t)c->argv, c->len);
    case 1:
        len = redisFormatCommandArgv(&bytes, c->argc, (const char **)(uintptr_t)c->argv, c->len);
        if (len < 0) abort();
        status = redisAsyncFormattedCommand(l->ac, fn, privdata, bytes, (size_t)len);
        redisFreeCommand(bytes);
        return status;
    default:
        break;
    }
    if (c->argc == 1) return redisAsyncCommand(l->ac, fn, privdata, c->argv[0]);
    if (c->argc == 2)
        return redisAsyncCommand(l->ac, fn, privdata, "%s %b", c->argv[0], c->argv[1], c->len[1]);
    if (c->argc == 3)
        return redisAsyncCommand(l->ac, fn, privdata, "%s %s %b", c->argv[0], c->argv[1], c->argv[2],
                                 c->len[2]);
    return redisAsyncCommandArgv(l->ac, fn, privdata, c->argc, (const char **)(uintptr_t)c->argv, c->len);
}

static void issue(struct link *l, struct command *c, int silent) {
    struct token *t = token_new(l, c->want);
    /* At the end it is refused; before, what may be called was noted when it was called. */
    if (send_command(l, silent ? NULL : on_reply, t, c) != REDIS_OK) {
        t->state = REFUSED_ONE;
        tally(REFUSED);
        wrong(l, "%s was refused: %s", c->argv[0], l->ac->errstr);
        return;
    }
    if (planted("refused-called")) {
        struct token *refused = token_new(l, (struct want){0});
        refused->state = REFUSED_ONE;
        on_reply(l->ac, NULL, refused);
    }
    tally(silent ? UNWATCHED : COMMANDS);
    t->state = silent ? SILENT : ACCEPTED;
    if (l->newest != NULL) l->newest->next = t;
    else l->oldest = t;
    l->newest = t;
    if (!silent) l->pending++;
}

/* A context that ends accepts nothing, and a command that was not accepted has no callback. */
static void probe(struct link *l, redisAsyncContext *ac) {
    if (l->probes >= PROBES) return;
    l->probes++;
    struct token *t = token_new(l, (struct want){0});
    t->state = REFUSED_ONE;
    tally(REFUSED);
    if (redisAsyncCommand(ac, on_reply, t, "PING") != REDIS_ERR)
        wrong(l, "a command was accepted at the end");
}

/* ---- Ends ---- */

/* Is this end one that the proxy, or the program, has caused? */
static void check_end(struct link *l, const redisAsyncContext *ac, const char *when) {
    int64_t now = now_us();
    if (ac->err == REDIS_ERR_TIMEOUT) {
        tally(TIMEOUTS);
        int64_t ms = l->connected ? l->opened.command_ms : l->opened.connect_ms;
        int64_t since = l->connected && l->lost_issue > 0 ? l->lost_issue : l->begun;
        if (ms == 0) wrong(l, "%s: a timeout, and none was set", when);
        else if (now - since < ms * 1000 - 2000)
            wrong(l, "%s: a timeout of %lld ms after %lld us", when, (long long)ms,
                  (long long)(now - since));
        return;
    }
    if (ac->err != REDIS_ERR_IO && ac->err != REDIS_ERR_EOF)
        wrong(l, "%s: error %d, %s", when, ac->err, ac->errstr);
    else if (l->harmed_at != NULL && atomic_load(l->harmed_at) < l->begun)
        wrong(l, "%s: %s, and nobody has harmed it, way %d", when, ac->errstr, l->way);
    else if (l->opened.refused_port && l->connected)
        wrong(l, "%s: %s, and it cannot have been connected", when, ac->errstr);
}

static void again_later(struct session *s, struct link *l) {
    if (s == NULL || s->link != l) return;
    s->link = NULL;
    s->next_try = now_us() + (int64_t)rng_below(&s->rng, 20000);
    /* Many programs do it right in the callback. */
    if (!s->done && rng_percent(&s->rng, 50)) session_connect(s);
}

/* REDIS_OPT_NOAUTOFREE: the context outlives its connection, unless the program had ended that. */
static void keep(struct link *l) {
    if (!l->opened.keeps_context || l->ending != NOT_ENDING) return;
    l->next_kept = kept;
    kept = l;
}

static void on_connect(const redisAsyncContext *ac, int status) {
    struct link *l = ac->data;
    last_progress = now_us();
    if (planted("connect-twice")) on_connect(ac, status);
    if (++l->connects != 1) {
        wrong(l, "onConnect was called %d times", l->connects);
        return;
    }
    if (l->disconnects > 0 || l->cleaned) wrong(l, "onConnect after the end");
    if (l->ac != ac) wrong(l, "onConnect with another context");
    if (status == REDIS_OK) {
        l->connected = 1;
        if (ac->err != 0) wrong(l, "onConnect(REDIS_OK) with the error %s", ac->errstr);
        if (l->session != NULL) link_go_on(l);
        return;
    }
    tally(FAILED);
    if (ac->err == 0) wrong(l, "onConnect(REDIS_ERR) without an error");
    /* The end of a program's own disconnect before the connection was up. */
    if (l->ending == NOT_ENDING) check_end(l, ac, "onConnect");
    probe(l, (redisAsyncContext *)(uintptr_t)ac);
    keep(l);
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    struct link *l = ac->data;
    last_progress = now_us();
    if (++l->disconnects != 1) {
        wrong(l, "onDisconnect was called %d times", l->disconnects);
        return;
    }
    if (!l->connected) wrong(l, "onDisconnect before onConnect(REDIS_OK)");
    if (l->cleaned) wrong(l, "onDisconnect after dataCleanup");
    if ((status == REDIS_OK) != (ac->err == 0)) wrong(l, "onDisconnect(%d) with error %d", status, ac->err);
    for (struct token *t = l->oldest; t != NULL; t = t->next)
        if (t->state == ACCEPTED) {
            wrong(l, "onDisconnect while %zu commands wait for their callbacks", l->pending);
            break;
        }
    if (status != REDIS_OK && l->session == NULL) {
        wrong(l, "the way around the proxy was lost: %s", ac->errstr);
    } else if (status != REDIS_OK) {
        tally(LOST);
        check_end(l, ac, "onDisconnect");
    } else if (l->ending == NOT_ENDING) {
        wrong(l, "onDisconnect(REDIS_OK), and nobody has asked for it");
    }
    probe(l, (redisAsyncContext *)(uintptr_t)ac);
    if (status != REDIS_OK) keep(l);
    again_later(l->session, l);
}

static void check_subscriptions(struct link *l) {
    for (struct subscription *s = l->subscriptions; s != NULL; s = s->next) {
        int finals = s->nulls;
        for (int i = 0; i < s->names; i++) finals += s->finals[i];
        if (finals != s->names) wrong(l, "%d ends for %d subscriptions", finals, s->names);
    }
}

/* The last thing that happens to a context. */
static void on_data(void *data) {
    struct link *l = data;
    if (++l->cleaned != 1) wrong(l, "dataCleanup was called %d times", l->cleaned);
    if (l->connected && l->disconnects == 0) wrong(l, "no onDisconnect");
    if (l->connects == 0 && l->ending != BY_FREE && l->ac != NULL) wrong(l, "no onConnect");
    struct token *t;
    while ((t = shift(l)) != NULL)
        if (t->state == ACCEPTED) wrong(l, "a callback was not called");
    check_subscriptions(l);
    l->ac = NULL;
    live_contexts--;
    again_later(l->session, l);
}

/* Ends the connection as the program wishes it. */
static void link_end(struct link *l, enum ending how) {
    redisAsyncContext *ac = l->ac;
    l->ending = how;
    if (how == BY_FREE) redisAsyncFree(ac);
    else redisAsyncDisconnect(ac);
}

/* ---- Replies ---- */

static void take_null(struct link *l, redisAsyncContext *ac, struct token *t) {
    tally(UNANSWERED);
    if (l->lost_issue == 0) l->lost_issue = t->issued;
    if (ac->err == 0 && l->ending != BY_FREE) wrong(l, "NULL, and there is no error");
    probe(l, ac);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata) {
    struct token *t = privdata, *first;
    struct link *l = t->link;
    if (planted("lost")) return;
    if (planted("doubled")) on_reply(ac, reply, privdata);
    if (t->next != NULL && planted("swapped")) t = t->next;
    last_progress = now_us();
    if (t->state == REFUSED_ONE) {
        wrong(l, "the callback of a refused command was called");
        return;
    }
    if (++t->calls != 1) {
        wrong(l, "a callback was called %d times", t->calls);
        return;
    }
    if (l->ac != ac || l->cleaned || l->disconnects > 0) wrong(l, "a callback after the end");
    if (reply != NULL && !l->connected) wrong(l, "a reply before onConnect");
    if (reply != NULL && l->ending == BY_FREE) wrong(l, "a reply after redisAsyncFree");
    /* Those without a callback before it have had their turn. */
    while ((first = shift(l)) != NULL && first->state == SILENT)
        if (reply == NULL && l->lost_issue == 0) l->lost_issue = first->issued;
    if (first != t) {
        wrong(l, "a callback came out of order");
        return;
    }
    t->state = CALLED;
    if (reply == NULL) {
        take_null(l, ac, t);
        return;
    }
    tally(ANSWERED);
    if (planted("wrong-value")) t->want.kind = t->want.kind == WANT_STATUS ? WANT_ERROR : WANT_STATUS;
    if (!want_met(&t->want, reply))
        wrong(l, "wanted %s, got %s", want_text(&t->want), reply_words(reply));
    if (l->session != NULL) {
        l->session->answers++;
        link_go_on(l);
    }
}

/* ---- Subscriptions ---- */

static struct value message(const struct link *l, const struct subscription *s, int name, unsigned number) {
    struct rng r = rng_of(play->seed, 'm', l->number);
    r = rng_of(rng_next(&r), s->name[name][0], ((uint64_t)(unsigned char)s->name[name][2] << 32) + number);
    return value_pick(&r, 10);
}

/* From another connection, around the proxy. */
static void publish(struct link *l, struct subscription *s, int name) {
    char channel[80];
    struct value v = message(l, s, name, s->published[name]++);
    snprintf(channel, sizeof(channel), s->pattern ? "%.*s1" : "%.*s",
             (int)strlen(s->name[name]) - (s->pattern ? 1 : 0), s->name[name]);
    struct command c = {.argc = 3,
                        .argv = {"PUBLISH", channel, value_bytes(v)},
                        .len = {7, strlen(channel), v.len},
                        .want = {.kind = WANT_AT_MOST, .integer = 1}};
    issue(publisher, &c, 0);
}

static int name_index(const struct subscription *s, const redisReply *r) {
    for (int i = 0; r->str != NULL && i < s->names; i++)
        if (strlen(s->name[i]) == r->len && memcmp(s->name[i], r->str, r->len) == 0) return i;
    return -1;
}

static int all_received(const struct subscription *s) {
    for (int i = 0; i < s->names; i++)
        if (!s->confirmed[i] || s->received[i] < s->published[i]) return 0;
    return 1;
}

static void unsubscribe(struct link *l, struct subscription *s) {
    const char *verb = s->pattern ? "PUNSUBSCRIBE" : "UNSUBSCRIBE";
    struct command c = {.argc = 1 + s->names, .argv = {verb}, .len = {strlen(verb)}};
    for (int i = 0; i < s->names; i++) {
        c.argv[1 + i] = s->name[i];
        c.len[1 + i] = strlen(s->name[i]);
    }
    s->unsubscribed = 1;
    if (send_command(l, NULL, NULL, &c) != REDIS_OK) wrong(l, "%s was refused", verb);
    l->subscribed -= s->names;
    l->model.pings_only = !l->resp3 && l->subscribed > 0;
}

static void take_message(struct link *l, struct subscription *s, int i, const redisReply *text) {
    struct value v = message(l, s, i, s->received[i]);
    tally(MESSAGES);
    if (!s->confirmed[i] || s->finals[i]) wrong(l, "a message outside the subscription");
    if (s->received[i] >= s->published[i]) wrong(l, "more messages than were published");
    else if (text->type != REDIS_REPLY_STRING || !value_is(v, text->str, text->len))
        wrong(l, "message %u of %s: got %s", s->received[i], s->name[i], reply_words(text));
    s->received[i]++;
    if (l->session != NULL) l->session->answers++;
}

static void on_message(redisAsyncContext *ac, void *reply, void *privdata) {
    struct subscription *s = privdata;
    struct link *l = s->link;
    redisReply *r = reply;
    last_progress = now_us();
    if (l->ac != ac || l->cleaned || l->disconnects > 0) wrong(l, "a message after the end");
    if (r == NULL) {
        if (ac->err == 0 && l->ending == NOT_ENDING) wrong(l, "a subscription got NULL without an error");
        s->nulls++;
        probe(l, ac);
        return;
    }
    if ((r->type != REDIS_REPLY_ARRAY && r->type != REDIS_REPLY_PUSH) || r->elements < 3) {
        wrong(l, "a subscription got %s", reply_words(r));
        return;
    }
    int i = name_index(s, r->element[1]);
    const char *verb = r->element[0]->str + (r->element[0]->str[0] == 'p');
    if (i < 0) {
        wrong(l, "a subscription got a message for %s", r->element[1]->str);
    } else if (strcmp(verb, "subscribe") == 0) {
        tally(SUBSCRIPTIONS);
        if (s->confirmed[i]++) wrong(l, "%s was confirmed twice", s->name[i]);
        if (l->ending == NOT_ENDING)
            for (size_t n = rng_size(&l->rng, 4); n > 0; n--) publish(l, s, i);
    } else if (strcmp(verb, "unsubscribe") == 0) {
        if (s->finals[i]++) wrong(l, "%s ended twice", s->name[i]);
        if (!s->unsubscribed) wrong(l, "%s ended, and nobody had asked for it", s->name[i]);
    } else if (strcmp(verb, "message") == 0) {
        take_message(l, s, i, r->element[r->elements - 1]);
    } else {
        wrong(l, "a subscription got a %s", verb);
    }
    link_go_on(l);
}

static void subscribe(struct link *l) {
    struct subscription *s = calloc(1, sizeof(*s));
    if (s == NULL) abort();
    s->link = l;
    s->pattern = (int)rng_below(&l->rng, 2);
    s->names = (int)rng_between(&l->rng, 1, NAMES);
    s->next = l->subscriptions;
    const char *verb = s->pattern ? "PSUBSCRIBE" : "SUBSCRIBE";
    struct command c = {.argc = 1 + s->names, .argv = {verb}, .len = {strlen(verb)}};
    /* The third letter tells the names of one connection apart. */
    int before = 0;
    for (struct subscription *o = l->subscriptions; o != NULL; o = o->next) before += o->names;
    l->subscriptions = s;
    for (int i = 0; i < s->names; i++) {
        snprintf(s->name[i], sizeof(s->name[i]), s->pattern ? "p:%c:%llx:%lu:*" : "c:%c:%llx:%lu",
                 'A' + before + i, (unsigned long long)play->seed, l->number);
        c.argv[1 + i] = s->name[i];
        c.len[1 + i] = strlen(s->name[i]);
    }
    if (send_command(l, on_message, s, &c) != REDIS_OK) {
        wrong(l, "%s was refused: %s", verb, l->ac->errstr);
        l->subscriptions = s->next;
        free(s);
        return;
    }
    l->subscribed += s->names;
    l->model.pings_only = !l->resp3;
}

/* ---- Going on ---- */

static int waits_for_messages(const struct link *l) {
    for (const struct subscription *s = l->subscriptions; s != NULL; s = s->next)
        for (int i = 0; i < s->names; i++)
            if (!s->finals[i] && (!s->confirmed[i] || s->received[i] < s->published[i])) return 1;
    return 0;
}

static void resubscribe(struct link *l) {
    int have = 0;
    for (struct subscription *s = l->subscriptions; s != NULL; s = s->next, have++)
        if (!s->unsubscribed && all_received(s) && rng_percent(&l->rng, 50)) unsubscribe(l, s);
    if (have < 5 && rng_percent(&l->rng, 40)) subscribe(l);
}

static void batch(struct link *l) {
    struct command c;
    /* In a transaction confirmations would come with the reply to EXEC. */
    if (l->session->kind != PLAIN && l->model.in_multi == 0) resubscribe(l);
    for (size_t n = rng_size(&l->rng, 6); n > 0; n--) {
        command_make(&l->model, &c);
        /* The last one is waited for. */
        issue(l, &c, n > 1 && rng_percent(&l->rng, 3));
    }
}

/* After each callback: is it time for more commands, or for the end? */
static void link_go_on(struct link *l) {
    struct session *s = l->session;
    if (l->ending != NOT_ENDING || l->ac == NULL || l->ac->err != 0) return;
    if (s->answers >= s->goal && !s->done) {
        s->done = 1;
        tally(SESSIONS);
    }
    if (s->done && (l->pending == 0 || rng_percent(&l->rng, 20))) {
        if (l->pending == 0 && waits_for_messages(l) && rng_percent(&l->rng, 90)) return;
        link_end(l, rng_percent(&l->rng, 70) ? BY_DISCONNECT : BY_FREE);
        return;
    }
    if (l->pending > rng_below(&l->rng, 8)) return;
    if (rng_percent(&l->rng, 3)) {
        /* In the middle of things, and then the session connects again. */
        link_end(l, rng_percent(&l->rng, 50) ? BY_DISCONNECT : BY_FREE);
        return;
    }
    batch(l);
}

/* ---- Connecting ---- */

/* Where the proxy tells what it did to this connection. */
static void find_slot(struct link *l) {
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    size_t slot;
    if (l->opened.refused_port || l->ac->c.fd < 0) return;
    if (l->way == PROXY_UNIX) {
        slot = unix_count++ % PROXY_SLOTS;
    } else {
        if (getsockname(l->ac->c.fd, (struct sockaddr *)&a, &len) != 0) return;
        slot = ntohs(a.sin_port);
    }
    l->harmed_at = &play->proxy->report->harmed_at[l->way][slot];
}

static struct link *link_new(struct session *s) {
    struct link *l = calloc(1, sizeof(*l));
    char name[KEY_ROOM];
    if (l == NULL) abort();
    l->session = s;
    l->number = link_count++;
    l->older = links;
    links = l;
    l->rng = rng_of(play->seed, 'l', l->number);
    l->begun = now_us();
    snprintf(name, sizeof(name), "%llx:%lu", (unsigned long long)play->seed, l->number);
    model_begin(&l->model, rng_of(play->seed, 'c', l->number), name,
                rng_percent(&l->rng, 10) ? VALUE_BITS : 17);
    return l;
}

/* A context that could not even begin has no callbacks, and its end is the program's. */
static void drop_stillborn(struct link *l) {
    redisAsyncContext *ac = l->ac;
    if (!l->opened.refused_port || ac->err != REDIS_ERR_IO) wrong(l, "no connection: %s", ac->errstr);
    tally(FAILED);
    l->ac = NULL;
    redisAsyncFree(ac);
    if (!l->cleaned) wrong(l, "no dataCleanup");
}

static int link_open(struct link *l, redisAsyncContext *ac) {
    tally(CONNECTIONS);
    live_contexts++;
    l->ac = ac;
    if (ac == NULL) {
        wrong(l, "no context");
        live_contexts--;
        return 0;
    }
    ac->data = l;
    ac->dataCleanup = on_data;
    if (ac->err != 0) {
        drop_stillborn(l);
        return 0;
    }
    if (planted("descriptor") && dup(ac->c.fd) < 0) abort();
    if (planted("leak") && hi_malloc(1) == NULL) abort();
    if (play->attach(ac) != REDIS_OK || redisAsyncSetConnectCallback(ac, on_connect) != REDIS_OK ||
        redisAsyncSetDisconnectCallback(ac, on_disconnect) != REDIS_OK)
        abort();
    return 1;
}

static void session_connect(struct session *s) {
    struct link *l = link_new(s);
    l->way = (int)rng_below(&l->rng, PROXY_WAYS);
    s->link = l;
    if (!link_open(l, way_open(play->proxy, l->way, &l->rng, &l->opened))) {
        s->link = NULL;
        s->next_try = now_us() + 10000;
        return;
    }
    find_slot(l);
    if (s->kind == PROTOCOL_3) {
        struct command c = {.argc = 2, .argv = {"HELLO", "3"}, .len = {5, 1}, .want = {.kind = WANT_HELLO}};
        l->resp3 = 1;
        issue(l, &c, 0);
    }
    /* Commands may come before the connection is up. */
    if (rng_percent(&l->rng, 50)) batch(l);
}

static void session_begin(struct session *s) {
    *s = (struct session){.number = session_count++};
    s->rng = rng_of(play->seed, 's', s->number);
    s->goal = rng_size(&s->rng, 9);
    s->kind = rng_percent(&s->rng, 45) ? PLAIN : rng_percent(&s->rng, 60) ? PROTOCOL_3 : SUBSCRIBER;
    session_connect(s);
}

/* ---- The round ---- */

static void free_kept(void) {
    while (kept != NULL) {
        struct link *l = kept;
        kept = l->next_kept;
        link_end(l, BY_FREE);
    }
}

/* Outside callbacks: what is due, and what a program does out of the blue. True while anybody works. */
static int sessions_tick(int more) {
    int working = 0;
    free_kept();
    for (unsigned long i = 0; i < AT_ONCE && i < play->connections / 3; i++) {
        struct session *s = &sessions[i];
        struct link *l = s->link;
        if (l == NULL && s->done) {
            if (more) session_begin(s);
        } else if (l == NULL) {
            if (now_us() >= s->next_try) session_connect(s);
        } else if (l->ending == NOT_ENDING && l->ac->err == 0 && rng_below(&s->rng, 4000) == 0) {
            link_end(l, rng_percent(&s->rng, 30) ? BY_DISCONNECT : BY_FREE);
        }
        working |= s->link != NULL || !s->done;
    }
    return working;
}

static int unsent(int fd) {
    int n = -1;
    return ioctl(fd, TIOCOUTQ, &n) == 0 ? n : -1;
}

static void tell_where_it_hangs(void) {
    int told = 0;
    for (const struct link *l = links; l != NULL; l = l->older)
        if (l->ac != NULL && told++ < 5)
            wrong(l, "hangs: %zu commands, %d names, connected %d, ending %d, error %d, %zu bytes to write, "
                     "%d in the kernel, way %d, slot %td",
                  l->pending, l->subscribed, l->connected, l->ending, l->ac->err,
                  sdslen(l->ac->c.obuf), unsent(l->ac->c.fd), l->way,
                  l->harmed_at != NULL ? l->harmed_at - play->proxy->report->harmed_at[l->way] : -1);
    proxy_tell(play->proxy);
    broken("nothing has happened for %d s", play->limit_s);
}

/* 0 when nothing goes on. */
static int turn(void) {
    play->turn(5);
    if (now_us() - last_progress < (int64_t)play->limit_s * 1000000) return 1;
    tell_where_it_hangs();
    return 0;
}

static int run(int descriptors) {
    unsigned long turns = 0;
    while (sessions_tick(tallied(CONNECTIONS) < play->connections)) {
        if (!turn()) return 0;
        if (++turns % 500 == 0 && open_descriptors() > descriptors + live_contexts) {
            broken("%d descriptors for %d contexts", open_descriptors() - descriptors, live_contexts);
            return 0;
        }
    }
    link_end(publisher, BY_DISCONNECT);
    for (free_kept(); live_contexts > 0;)
        if (!turn()) return 0;
    return 1;
}

static void check_token(const struct token *t) {
    if (t->state == ACCEPTED || (t->state == CALLED && t->calls != 1))
        wrong(t->link, "a callback was called %d times", t->calls);
    if (t->state == REFUSED_ONE && t->calls != 0)
        wrong(t->link, "the callback of a refused command was called");
}

/* Only now can nothing be called any more. */
static void bury(struct link *l) {
    for (struct tokens *a = l->tokens, *next; a != NULL; a = next) {
        next = a->next;
        for (size_t i = 0; i < a->used; i++) {
            check_token(&a->token[i]);
            want_free(&a->token[i].want);
        }
        free(a);
    }
    for (struct subscription *s = l->subscriptions, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    if (!l->cleaned) wrong(l, "no dataCleanup");
    model_end(&l->model);
    free(l);
}

void sessions_play(const struct play *with) {
    play = with;
    last_progress = now_us();
    int descriptors = open_descriptors();
    for (int i = 0; i < AT_ONCE; i++) sessions[i] = (struct session){.done = 1};
    publisher = link_new(NULL);
    if (!link_open(publisher, redisAsyncConnectUnix(play->server))) abort();
    if (!run(descriptors)) return;
    while (links != NULL) {
        struct link *l = links;
        links = l->older;
        bury(l);
    }
    if (tallied(COMMANDS) != tallied(ANSWERED) + tallied(UNANSWERED))
        broken("%lu commands, %lu callbacks", tallied(COMMANDS), tallied(ANSWERED) + tallied(UNANSWERED));
}
