/* Target async: a script of commands, events, faults and ends, on the network of net.c, with a server
 * that is honest or hostile.
 *
 * The honest one keeps to the protocol, and a model tells what each callback must get: word for word, in
 * order, and NULL only for commands that the server is told not to answer, or at an end that the script
 * has brought about. It keeps to what is certain: only PING and ECHO follow a RESET that is not answered
 * yet, CLIENT REPLY stays away from MONITOR and from subscriptions in RESP2.
 *
 * The hostile one sends whatever the script says. What must hold with either: each accepted command's
 * callback runs once, in order; what leaves are the accepted commands and nothing else; the public lists
 * are true; no hook is called after cleanup; nothing is left.
 *
 *   how          see enum
 *   answers      NET_ANSWERS each for recv and send
 *   the rest     steps, see step() */
#include "net.h"
#include "resp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <hiredis/async.h>

enum {
    HOSTILE = 1,        /* the server */
    OWN_TABLE = 2,      /* a transport of the program's own */
    NO_AUTO_FREE = 4,
    OWN_REPLIES = 8,    /* REDIS_OPT_NOAUTOFREEREPLIES */
    TIMEOUT = 16,
    ATTACH_LATE = 32,   /* the event loop */
    RESP3 = 64,
};
enum { STEPS = 120, COMMANDS = 80, NAMES = 3, EVENTS = 1000 };
enum kind { CHANNEL, PATTERN, SHARD, KINDS };
enum what { PING, ECHO, WRONG, LIST, SUBSCRIBE, UNSUBSCRIBE, FORBIDDEN, MONITOR, RESET, HELLO, REPLY_OFF,
            REPLY_ON, REPLY_SKIP, WHATS, OTHER };

void __redisSetError(redisContext *c, int type, const char *text);  /* exported for transports */

struct command {
    enum what what;
    enum kind kind;
    int names, name[2], protocol, other;
    int silent;             /* gets NULL although all is well */
    int accepted, nobody;   /* nobody: the callback is NULL */
    int calls, nulls;
    size_t end;             /* where it ends in what is sent */
    int events;             /* how many events there are when it is answered; 0: it is not served yet */
};

/* What the server has sent, in order: a reply to a command, news of a subscription, a line of MONITOR,
 * a push that belongs to nobody. */
struct event {
    enum { REPLY, NEWS, LINE, PUSH } type;
    int command;
    enum kind kind;
    int name;
    enum { SUBSCRIBED, UNSUBSCRIBED, MESSAGE } news;
    size_t end;             /* where its frame ends in what is received */
    struct text text;
};

static struct {
    redisAsyncContext *ac;  /* NULL once the library has let go of it */
    int how;
    struct command command[COMMANDS];
    int commands;
    int oldest;             /* the oldest regular command that has not had its callback */
    struct text wanted;     /* the bytes of all accepted commands */

    /* The client's side of a subscription. */
    struct {
        int exists, pending, command;
    } entry[KINDS][NAMES];
    int off, skip, monitoring, monitor, resetting;

    /* The server. */
    int served;             /* commands that it has handled */
    int protocol, server_off, server_skip, server_monitors;
    int subscribed[KINDS][NAMES];
    int events, next;           /* of event[]; the next to be delivered */

    int act_in, act;        /* how many callbacks from now one does what */
    int in_callback;
    int troubled;           /* something happened that ends a connection, or may */
    int disconnecting, freeing, dead;
    int must_end;           /* a subscription was refused, and nothing else depends on the connection */
    char refusal[128];
    int connects, disconnects, cleanups, datas, attached;
} m;

static struct event event[EVENTS];
static struct text got;

/* ---- Commands ---------------------------------------------------------------------------- */

static const char *const prefix[KINDS] = {"", "P", "S"};
static const char *const stem[KINDS] = {"c", "p", "s"};

/* What only a hostile server hears. The first ANSWERED have one reply each. */
enum { ANSWERED = 14 };
static const char *const others[] = {
    "GET k", "MULTI", "EXEC", "DISCARD", "QUIT", "SUBSCRIBE", "RESET", "HELLO 3", "HELLO 2",
    "CLIENT REPLY ON", "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "CLIENT REPLY", "AUTH x",
    "UNSUBSCRIBE c0", "SUBSCRIBE c0 c0 c1", "PSUBSCRIBE c0", "SSUBSCRIBE s0", "SUNSUBSCRIBE",
    "PUNSUBSCRIBE x", "MONITOR", "monitor", "psubscribe p0 p1",
};

/* Whether its callback is called once. A subscription's and a monitor's are called as often as there is
 * something to tell, a forbidden subscription's once but among those. */
static int is_regular(const struct command *c) {
    if (c->what == OTHER) return c->other < ANSWERED;
    return c->what != SUBSCRIBE && c->what != UNSUBSCRIBE && c->what != FORBIDDEN;
}

static const char *words_of(const struct command *c, int t) {
    static char buf[100];
    switch (c->what) {
    case PING: sprintf(buf, "PING t%d", t); break;
    case ECHO: sprintf(buf, "ECHO t%d", t); break;
    case WRONG: sprintf(buf, "NOSUCH t%d", t); break;
    case LIST: sprintf(buf, "LRANGE t%d 0 -1", t); break;
    case FORBIDDEN: sprintf(buf, "%sSUBSCRIBE no%d", prefix[c->kind], t); break;
    case MONITOR: sprintf(buf, "MONITOR"); break;
    case RESET: sprintf(buf, "RESET"); break;
    case HELLO: sprintf(buf, "HELLO %d", c->protocol); break;
    case REPLY_OFF: sprintf(buf, "CLIENT REPLY OFF"); break;
    case REPLY_ON: sprintf(buf, "CLIENT REPLY ON"); break;
    case REPLY_SKIP: sprintf(buf, "CLIENT REPLY SKIP"); break;
    case OTHER: strcpy(buf, others[c->other]); break;
    default:
        sprintf(buf, "%s%s", prefix[c->kind], c->what == SUBSCRIBE ? "SUBSCRIBE" : "UNSUBSCRIBE");
        for (int i = 0; i < c->names; i++) sprintf(buf + strlen(buf), " %s%d", stem[c->kind], c->name[i]);
    }
    return buf;
}

static void encode(struct text *out, const char *words) {
    int n = 1;
    for (const char *p = words; *p != '\0'; p++) n += *p == ' ';
    text_printf(out, "*%d\r\n", n);
    for (const char *p = words; n > 0; n--) {
        size_t len = strcspn(p, " ");
        text_printf(out, "$%zu\r\n%.*s\r\n", len, (int)len, p);
        p += len + 1;
    }
}

/* ---- What callbacks get -------------------------------------------------------------------- */

static void act(void);

/* Events that were received and that nobody hears of, at the front. */
static void pass_unheard(void) {
    for (; m.next < m.events && event[m.next].end <= net.received; m.next++) {
        const struct event *e = &event[m.next];
        if (e->type == REPLY && m.command[e->command].nobody) continue;
        if (e->type == NEWS && (e->name < 0 || !m.entry[e->kind][e->name].exists)) continue;
        return;
    }
}

static size_t list_length(const redisCallbackList *list) {
    size_t n = 0;
    const redisCallback *last = NULL;
    for (const redisCallback *c = list->head; c != NULL; c = c->next, n++) last = c;
    CHECK(list->tail == last);
    return n;
}

/* A regular command's turn has come; those before it that have no callback had theirs. */
static void take_turn(int t) {
    while (m.oldest < m.commands && m.oldest != t) {
        const struct command *c = &m.command[m.oldest];
        if (is_regular(c) && c->accepted && !c->nobody && c->calls == 0)
            FAIL("command %d (%s) is called before %d", t, words_of(&m.command[t], t), m.oldest);
        m.oldest++;
    }
}

static void check_event(int t, const redisReply *reply) {
    pass_unheard();
    text_clear(&got);
    resp_text(&got, reply);
    if (m.next == m.events) FAIL("command %d gets \"%s\", which was never sent", t, shown(got.p, got.len));
    struct event *e = &event[m.next++];
    if (planted("disagree")) text_add(&e->text, "!", 1);
    same_text("reply", got.p, got.len, &e->text);
    switch (e->type) {
    case REPLY: CHECK_INT(t, e->command); break;
    case LINE: CHECK_INT(t, m.monitor); break;
    case PUSH: FAIL("command %d gets a push", t);
    case NEWS:
        CHECK_INT(t, m.entry[e->kind][e->name].command);
        if (e->news == SUBSCRIBED) m.entry[e->kind][e->name].pending--;
        if (e->news == UNSUBSCRIBED && m.entry[e->kind][e->name].pending <= 0)
            m.entry[e->kind][e->name].exists = 0;
    }
}

/* NULL is the end: of the connection, of a silent command, or by RESET. */
static void check_null(struct command *c, int t) {
    int ending = m.ac->err != 0 || (m.ac->c.flags & (REDIS_FREEING | REDIS_DISCONNECTING));
    if (c->what == SUBSCRIBE) {
        for (int k = 0; k < KINDS; k++) {
            for (int i = 0; i < NAMES; i++) {
                if (!m.entry[k][i].exists || m.entry[k][i].command != t) continue;
                m.entry[k][i].exists = 0;
                if (!ending && !m.resetting) FAIL("a subscription ends without a reason");
                return;
            }
        }
        FAIL("command %d (%s) gets NULL, and is subscribed to nothing", t, words_of(c, t));
    }
    if (c->what == MONITOR && t == m.monitor) {
        m.monitor = -1;
        if (!ending && !m.resetting) FAIL("a monitor ends without a reason");
        return;
    }
    if (c->silent) return;
    if (!ending) FAIL("command %d (%s) gets NULL", t, words_of(c, t));
    /* Those that wait for an answer get it before a clean end. */
    if (!m.troubled && !m.freeing) FAIL("command %d (%s) gets NULL at a clean end", t, words_of(c, t));
}

static void after_reset(void) {
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < NAMES; i++) CHECK_INT(m.entry[k][i].exists, 0);
    CHECK_INT(m.monitor, -1);
    m.monitoring = m.resetting = 0;
}

/* Whether anything depends on the connection but command t, which has been refused. */
static int depends(int t) {
    for (int i = 0; i < m.commands; i++) {
        const struct command *c = &m.command[i];
        if (i != t && c->accepted && !c->silent && (c->events == 0 || c->events > m.next)) return 1;
    }
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < NAMES; i++)
            if (m.entry[k][i].exists) return 1;
    return m.monitoring || net.sent.len < m.wanted.len || m.disconnecting || m.freeing;
}

static void callback_begins(redisAsyncContext *ac) {
    CHECK(ac == m.ac);
    CHECK(ac->c.flags & REDIS_IN_CALLBACK);
    CHECK(!m.in_callback);
    CHECK_STR(ac->errstr, ac->c.errstr);
    CHECK_INT(ac->err, ac->c.err);
    list_length(&ac->replies);
    list_length(&ac->sub.replies);
    m.in_callback = 1;
}

static void callback_ends(void) {
    if (m.act_in > 0 && --m.act_in == 0) act();
    m.in_callback = 0;
}

static void heard(redisAsyncContext *ac, void *reply, void *privdata) {
    int t = (int)(intptr_t)privdata, honest = !(m.how & HOSTILE);
    struct command *c = &m.command[t];
    callback_begins(ac);
    tell("  heard by %d (%s): %s, err %d, flags %#x", t, words_of(c, t), reply ? "a reply" : "NULL", ac->err,
         (unsigned)ac->c.flags);
    if (!c->accepted) FAIL("command %d (%s) was refused and is called", t, words_of(c, t));
    if (is_regular(c) && c->calls == 0) take_turn(t);
    if (reply != NULL && honest) {
        if (c->what == MONITOR && c->calls == 0) m.monitor = t;
        check_event(t, reply);
        if (c->what == RESET) after_reset();
    } else if (reply == NULL && honest) {
        check_null(c, t);
    } else if (reply != NULL) {
        text_clear(&got);
        resp_text(&got, reply);
    }
    c->calls++;
    c->nulls += reply == NULL;
    if (is_regular(c) && c->what != MONITOR && c->calls > 1)
        FAIL("command %d (%s) is called again", t, words_of(c, t));
    if (c->what == MONITOR && c->nulls > (reply == NULL)) FAIL("a monitor is called after its end");
    if (reply != NULL && honest && c->what == FORBIDDEN)
        snprintf(m.refusal, sizeof(m.refusal), "%s", ((redisReply *)reply)->str);
    int refused = reply != NULL && c->what == FORBIDDEN;
    if (reply != NULL && (m.how & OWN_REPLIES)) freeReplyObject(reply);
    callback_ends();
    if (honest && refused && !depends(t)) m.must_end = 1;
}

static void pushed(redisAsyncContext *ac, void *reply) {
    callback_begins(ac);
    text_clear(&got);
    resp_text(&got, reply);
    if (!(m.how & HOSTILE)) {
        pass_unheard();
        if (m.next == m.events || event[m.next].type != PUSH)
            FAIL("the push callback gets \"%s\"", shown(got.p, got.len));
        same_text("push", got.p, got.len, &event[m.next++].text);
    }
    callback_ends();
}

static void on_connect(redisAsyncContext *ac, int status) {
    callback_begins(ac);
    tell("  connected: %d", status);
    CHECK_INT(m.connects++, 0);
    if (status != REDIS_OK) CHECK(m.freeing || m.disconnecting || m.troubled);
    callback_ends();
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    tell("  disconnected: %d, err %d %s", status, ac->err, ac->errstr);
    CHECK(ac == m.ac);
    CHECK_INT(m.disconnects++, 0);
    CHECK(ac->replies.head == NULL && ac->sub.replies.head == NULL);
    if (status == REDIS_OK) CHECK(m.freeing || m.disconnecting);
    else CHECK(ac->err != 0);
    if (status != REDIS_OK && !(m.how & HOSTILE) && !m.troubled) {
        if (!m.must_end) FAIL("the connection ends: %s", ac->errstr);
        CHECK_INT(ac->err, REDIS_ERR_OTHER);
        CHECK_STR(ac->errstr, m.refusal);
        m.troubled = 1;
    }
    m.in_callback = 1;
    callback_ends();
}

/* ---- The event loop -------------------------------------------------------------------------- */

static int reading, writing, timing;

static void hook(void *data) {
    CHECK(data == &m);
    CHECK(m.attached);
}

static void add_read(void *data) { hook(data); reading = 1; }
static void del_read(void *data) { hook(data); reading = 0; }
static void add_write(void *data) { hook(data); writing = 1; }
static void del_write(void *data) { hook(data); writing = 0; }

static void cleanup(void *data) {
    hook(data);
    m.attached = 0;
    m.cleanups++;
    reading = writing = timing = 0;
}

static void schedule_timer(void *data, struct timeval tv) {
    hook(data);
    CHECK(tv.tv_sec > 0 || tv.tv_usec > 0);
    timing = 1;
}

static void attach(void) {
    if (m.ac == NULL || m.ac->ev.data != NULL || m.cleanups > 0) return;
    m.ac->ev.data = &m;
    m.ac->ev.addRead = add_read;
    m.ac->ev.delRead = del_read;
    m.ac->ev.addWrite = add_write;
    m.ac->ev.delWrite = del_write;
    m.ac->ev.cleanup = cleanup;
    m.ac->ev.scheduleTimer = schedule_timer;
    m.attached = 1;
}

static void data_gone(void *data) {
    CHECK(data == &m);
    CHECK_INT(m.datas++, 0);
    m.ac = NULL;
}

/* ---- A transport of the program's own ---------------------------------------------------------- */

static ssize_t failed(redisContext *c) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    __redisSetError(c, REDIS_ERR_IO, NULL);
    return -1;
}

static ssize_t own_read(redisContext *c, char *buf, size_t cap) {
    ssize_t n = recv(c->fd, buf, cap, 0);
    if (n == 0) {
        __redisSetError(c, REDIS_ERR_EOF, "Server closed the connection");
        return -1;
    }
    return n < 0 ? failed(c) : n;
}

static ssize_t own_write(redisContext *c) {
    ssize_t n = send(c->fd, c->obuf, sdslen(c->obuf), MSG_NOSIGNAL);
    return n < 0 ? failed(c) : n;
}

static redisContextFuncs own_table = {.read = own_read, .write = own_write};

/* ---- The honest server ------------------------------------------------------------------------- */

/* Sends a frame; who it is for must get what it says. */
static struct event *send_frame(int type, const char *frame, size_t len) {
    static struct resp r;
    if (m.events == EVENTS) return NULL;
    struct event *e = &event[m.events++];
    e->type = type;
    struct text kept = r.text;
    memset(&r, 0, sizeof(r));
    r.text = kept;
    r.at = frame;
    r.end = frame + len;
    r.maxdepth = 1024;
    r.drops_attributes = 1;
    if (!resp_reply(&r)) FAIL("the server's frame is wrong: %s", frame);
    text_clear(&e->text);
    text_add(&e->text, r.text.p, r.text.len);
    text_add(&net.incoming, frame, len);
    e->end = net.incoming.len;
    tell("server: %s", shown(frame, len));
    return e;
}

static int listening(void) {
    int n = 0;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < NAMES; i++) n += m.subscribed[k][i];
    return n;
}

static void send_news(enum kind kind, int name, int news) {
    static const char *const words[] = {"subscribe", "unsubscribe", "message"};
    char head[20], frame[200], channel[20] = "$-1\r\n";
    sprintf(head, "%s%s", kind == PATTERN ? "p" : kind == SHARD ? "s" : "", words[news]);
    if (name >= 0) sprintf(channel, "$2\r\n%s%d\r\n", stem[kind], name);
    int pattern_message = kind == PATTERN && news == MESSAGE, count = 0;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < NAMES; i++) count += (k == SHARD) == (kind == SHARD) && m.subscribed[k][i];
    sprintf(frame, "%c%d\r\n$%zu\r\n%s\r\n%s%s", m.protocol == 3 ? '>' : '*', pattern_message ? 4 : 3,
            strlen(head), head, channel, pattern_message ? "$2\r\nxy\r\n" : "");
    if (news == MESSAGE) strcat(frame, "$2\r\nhi\r\n");
    else sprintf(frame + strlen(frame), ":%d\r\n", count);
    struct event *e = send_frame(NEWS, frame, strlen(frame));
    if (e == NULL) return;
    e->kind = kind;
    e->name = name;
    e->news = news;
}

static void answer(int t, const char *frame) {
    struct event *e = send_frame(REPLY, frame, strlen(frame));
    if (e != NULL) e->command = t;
}

static void show_to_monitor(const struct command *c, int t) {
    char line[200] = "+1339518083.107412 [0 127.0.0.1:60866]";
    for (const char *p = words_of(c, t); *p != '\0';) {
        size_t len = strcspn(p, " ");
        sprintf(line + strlen(line), " \"%.*s\"", (int)len, p);
        p += len + (p[len] != '\0');
    }
    strcat(line, "\r\n");
    send_frame(LINE, line, strlen(line));
}

/* Handles one command. */
static void serve(int t) {
    const struct command *c = &m.command[t];
    int quiet = m.server_off || m.server_skip, resp2_listens = m.protocol == 2 && listening() > 0, shows = 1;
    char frame[200];
    m.server_skip = 0;
    frame[0] = '\0';
    if (resp2_listens && c->what != PING && c->what != SUBSCRIBE && c->what != UNSUBSCRIBE &&
        c->what != FORBIDDEN && c->what != RESET) {
        if (!quiet) answer(t, "-ERR Can't execute this in a subscribed state\r\n");
        return;
    }
    switch (c->what) {
    case PING:
    case ECHO:
        sprintf(frame, "%s$%d\r\nt%d\r\n", resp2_listens ? "*2\r\n$4\r\npong\r\n" : "", t > 9 ? 3 : 2, t);
        break;
    case WRONG: sprintf(frame, "-ERR unknown command t%d\r\n", t); shows = 0; break;
    case LIST: sprintf(frame, "*3\r\n$7\r\nmessage\r\n+c0\r\n:%d\r\n", t); break;
    case FORBIDDEN: sprintf(frame, "-NOPERM t%d\r\n", t); shows = 0; break;
    case MONITOR:
        if (!m.server_monitors) strcpy(frame, "+OK\r\n");
        m.server_monitors = 1;
        shows = 0;
        break;
    case RESET:
        memset(m.subscribed, 0, sizeof(m.subscribed));
        m.protocol = 2;
        m.server_off = m.server_skip = m.server_monitors = quiet = 0;
        strcpy(frame, "+RESET\r\n");
        break;
    case HELLO:
        m.protocol = c->protocol;
        strcpy(frame, c->protocol == 3 ? "%1\r\n$5\r\nproto\r\n:3\r\n" : "*2\r\n$5\r\nproto\r\n:2\r\n");
        break;
    case REPLY_OFF: m.server_off = 1; return;
    case REPLY_ON: m.server_off = quiet = 0; strcpy(frame, "+OK\r\n"); break;
    case REPLY_SKIP: m.server_skip = !m.server_off; return;
    case SUBSCRIBE:
        for (int i = 0; i < c->names; i++) {
            m.subscribed[c->kind][c->name[i]] = 1;
            send_news(c->kind, c->name[i], SUBSCRIBED);
        }
        break;
    case UNSUBSCRIBE: {
        int told = 0;
        for (int i = 0; i < (c->names > 0 ? c->names : NAMES); i++) {
            int name = c->names > 0 ? c->name[i] : i;
            if (c->names == 0 && !m.subscribed[c->kind][name]) continue;
            m.subscribed[c->kind][name] = 0;
            send_news(c->kind, name, UNSUBSCRIBED);
            told = 1;
        }
        if (!told) send_news(c->kind, -1, UNSUBSCRIBED);
        break;
    }
    default: break;
    }
    if (frame[0] != '\0' && !quiet) answer(t, frame);
    if (m.server_monitors && shows) show_to_monitor(c, t);
}

/* What was sent is what was accepted. */
static void check_sent(void) {
    if (net.sent.len > m.wanted.len || memcmp(net.sent.p, m.wanted.p, net.sent.len) != 0)
        FAIL("sent \"%s\", accepted \"%s\"", shown(net.sent.p, net.sent.len),
             shown(m.wanted.p, m.wanted.len));
}

static void serve_next(void) {
    while (m.served < m.commands && !m.command[m.served].accepted) m.served++;
    if (m.served < m.commands && m.command[m.served].end <= net.sent.len) {
        serve(m.served);
        m.command[m.served++].events = m.events;
    }
}

static void publish(struct input *in) {
    enum kind kind = (enum kind)in_below(in, KINDS);
    int name = (int)in_below(in, NAMES);
    if (m.subscribed[kind][name]) {
        send_news(kind, name, MESSAGE);
    } else if (m.protocol == 3) {
        static const char push[] = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
        static const char attributes[] = "|1\r\n+ttl\r\n:3600\r\n>1\r\n|1\r\n+a\r\n+b\r\n+pushed\r\n";
        send_frame(PUSH, name ? push : attributes, strlen(name ? push : attributes));
    }
}

/* ---- The hostile server ------------------------------------------------------------------------- */

static const char *const frames[] = {
    "+OK\r\n", "+QUEUED\r\n", "+RESET\r\n", "$1\r\nV\r\n", "$-1\r\n", ":1\r\n", "*0\r\n", "*-1\r\n",
    "-ERR no\r\n",
    "-NOPERM no\r\n", "-MOVED 1 h:1\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "%1\r\n+proto\r\n:3\r\n",
    "*2\r\n$5\r\nproto\r\n:2\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "~1\r\n+x\r\n", "|1\r\n+ttl\r\n:1\r\n",
    ">2\r\n$10\r\ninvalidate\r\n_\r\n", ">0\r\n", "+1339518083.107412 [0 127.0.0.1:60866] \"GET\" \"x\"\r\n",
    "*1\r\n*3\r\n$9\r\nsubscribe\r\n$2\r\nc0\r\n:1\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n", "?\r\n", "$x\r\n",
    "$1\r\nxyz", ">1\r\n$9\r\nsubscribe\r\n", ">2\r\n$7\r\nmessage\r\n$2\r\nc0\r\n",
    ">3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nm\r\n",
    "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", ">3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",
};

static void send_hostile(struct input *in) {
    uint8_t b = in_byte(in);
    size_t n = sizeof(frames) / sizeof(frames[0]), got_bytes;
    if (b < 128) {
        text_add(&net.incoming, frames[b % n], strlen(frames[b % n]));
    } else if (b < 160) {
        const uint8_t *p = in_bytes(in, b % 32u, &got_bytes);
        text_add(&net.incoming, p, got_bytes);
    } else {
        m.protocol = b & 1 ? 3 : 2;
        send_news((enum kind)(b / 2 % KINDS), (int)in_below(in, NAMES), b / 8 % 3);
        m.events = 0;
    }
}

/* ---- The program ---------------------------------------------------------------------------------- */

static int allowed(const struct command *c) {
    int maybe_listening = listening() > 0, resp2 = m.protocol == 2, reset = m.resetting;
    for (int t = m.served; t < m.commands; t++) {
        if (!m.command[t].accepted) continue;
        if (m.command[t].what == SUBSCRIBE) maybe_listening = 1;
        if (m.command[t].what == HELLO) resp2 |= m.command[t].protocol == 2;
    }
    int replying = c->what == REPLY_OFF || c->what == REPLY_SKIP || c->what == REPLY_ON;
    int subscribing = c->what == SUBSCRIBE || c->what == UNSUBSCRIBE || c->what == FORBIDDEN;
    if (reset && c->what != PING && c->what != ECHO) return 0;
    if (replying && (m.monitoring || (maybe_listening && resp2))) return 0;
    if ((m.off || m.skip) && (c->what == MONITOR || c->what == HELLO || subscribing)) return 0;
    if (m.skip && c->what == RESET) return 0;
    if (c->what == MONITOR && maybe_listening && resp2) return 0;
    return 1;
}

/* What the command changes, once it is accepted. */
static void note(struct command *c, int t) {
    c->silent = (m.off || m.skip) && c->what != RESET;
    m.skip = 0;
    switch (c->what) {
    case REPLY_OFF: m.off = c->silent = 1; break;
    case REPLY_ON: m.off = c->silent = 0; break;
    case REPLY_SKIP: m.skip = !m.off; c->silent = 1; break;
    case RESET: m.resetting = 1; m.off = 0; break;
    case MONITOR:
        if (m.monitoring) c->silent = 1;
        m.monitoring = 1;
        break;
    case SUBSCRIBE:
        for (int i = 0; i < c->names; i++) {
            m.entry[c->kind][c->name[i]].exists = 1;
            m.entry[c->kind][c->name[i]].pending++;
            m.entry[c->kind][c->name[i]].command = t;
        }
        break;
    default: break;
    }
}

static void ask(struct input *in) {
    int t = m.commands, status;
    uint8_t b = in_byte(in), how = in_byte(in);
    struct command *c = &m.command[t];
    if (t == COMMANDS || m.ac == NULL) return;
    memset(c, 0, sizeof(*c));
    c->what = (enum what)(b % WHATS);
    c->kind = (enum kind)(how % KINDS);
    c->names = how / 3 % 3;
    c->name[0] = how / 9 % NAMES;
    c->name[1] = (c->name[0] + 1 + how / 27 % 2) % NAMES;
    c->protocol = 2 + how % 2;
    if (c->what == SUBSCRIBE && c->names == 0) c->names = 1;
    int may_be_nobodys = is_regular(c) && c->what != MONITOR && c->what != RESET;
    c->nobody = (how >= 224 && may_be_nobodys) || c->what == UNSUBSCRIBE;
    if (m.how & HOSTILE) {
        if (b >= 128) {
            c->what = OTHER;
            c->other = b % (int)(sizeof(others) / sizeof(others[0]));
        }
    } else if (!allowed(c)) {
        return;
    }
    const char *words = words_of(c, t);
    struct text bytes = {0};
    encode(&bytes, words);
    redisCallbackFn *fn = c->nobody ? NULL : heard;
    int had = m.ac->c.flags & REDIS_SUBSCRIBED;
    int ending = m.ac->c.flags & (REDIS_DISCONNECTING | REDIS_FREEING);
    m.commands++;
    /* Before the call: it cannot be refused and call nevertheless. */
    c->accepted = 1;
    switch (how / 64) {
    case 0: status = redisAsyncFormattedCommand(m.ac, fn, (void *)(intptr_t)t, bytes.p, bytes.len); break;
    case 1: {
        char copy[100];
        const char *argv[8];
        int argc = 0;
        strcpy(copy, words);
        for (char *p = strtok(copy, " "); p != NULL; p = strtok(NULL, " ")) argv[argc++] = p;
        status = redisAsyncCommandArgv(m.ac, fn, (void *)(intptr_t)t, argc, argv, NULL);
        break;
    }
    default: status = redisAsyncCommand(m.ac, fn, (void *)(intptr_t)t, words);
    }
    c->accepted = status == REDIS_OK;
    tell("%sask %d: %s%s%s", m.in_callback ? "  " : "", t, words, c->nobody ? ", nobody listens" : "",
         c->accepted ? "" : ", refused");
    if (c->accepted) {
        CHECK(!ending);
        text_add(&m.wanted, bytes.p, bytes.len);
        c->end = m.wanted.len;
        if (!(m.how & HOSTILE)) note(c, t);
    } else if (!ending && m.ac->err == 0 && !(m.how & HOSTILE)) {
        CHECK((c->what == UNSUBSCRIBE && !had) || alloc_failures() > 0);
    }
    if (m.ac->err == REDIS_ERR_OOM && !ending) {
        /* The program may go on: what was refused is as if it had never been asked. */
        CHECK(alloc_failures() > 0);
        m.ac->c.err = m.ac->err = 0;
        m.ac->c.errstr[0] = '\0';
    }
    text_free(&bytes);
}

static void end_by(int free) {
    if (m.ac == NULL) return;
    tell("%s%s", m.in_callback ? "  " : "", free ? "free" : "disconnect");
    if (free) {
        m.freeing = 1;
        redisAsyncFree(m.ac);
    } else {
        m.disconnecting = 1;
        redisAsyncDisconnect(m.ac);
    }
}

/* What a callback does, by three bytes that the script has set. */
static void act(void) {
    uint8_t bytes[2] = {(uint8_t)(m.act >> 8), (uint8_t)m.act};
    struct input in = {bytes, bytes + 2};
    switch (m.act >> 16 & 15) {
    case 0: end_by(1); break;
    case 1: end_by(0); break;
    case 2:
        tell("  events");
        redisAsyncHandleRead(m.ac);
        redisAsyncHandleWrite(m.ac);
        redisAsyncHandleTimeout(m.ac);
        break;
    default: ask(&in);
    }
}

static void look(void) {
    if (m.ac == NULL) return;
    list_length(&m.ac->replies);
    list_length(&m.ac->sub.replies);
    if (m.ac->c.err != 0) m.dead = 1;
    if (m.dead || (m.how & HOSTILE)) return;
    if (m.must_end && !m.troubled) FAIL("the connection does not end after %s", m.refusal);
    /* What was received has been delivered. */
    pass_unheard();
    if (m.next < m.events && event[m.next].end <= net.received)
        FAIL("event %d was received and not delivered: \"%s\"", m.next, event[m.next].text.p);
}

static void step(struct input *in) {
    uint8_t b = in_byte(in);
    static const char *const names[] = {
        "", "", "", "", "write", "write", "read", "read", "server", "server", "server", "publish",
        "arm a callback", "end, time or attach", "fault", "events",
    };
    if (b % 16 > 3) tell("%s (%d)", names[b % 16], b);
    switch (b % 16) {
    case 0: case 1: case 2: case 3: ask(in); break;
    case 4: case 5: redisAsyncHandleWrite(m.ac); break;
    case 6: case 7: redisAsyncHandleRead(m.ac); break;
    case 8: case 9: case 10:
        if (m.how & HOSTILE) send_hostile(in);
        else for (int n = 1 + b / 64; n > 0; n--) serve_next();
        break;
    case 11:
        if (m.how & HOSTILE) send_hostile(in);
        else publish(in);
        break;
    case 12:
        m.act_in = 1 + b / 32;
        m.act = (int)(in_word(in) & 0xffffff);
        break;
    case 13:
        if (b < 64) net.ended = m.troubled = 1;
        else if (b < 128) {
            net.now += b * 8;
            if ((m.how & TIMEOUT) || !(m.ac->c.flags & REDIS_CONNECTED)) m.troubled = 1;
            redisAsyncHandleTimeout(m.ac);
        } else if (b < 160) end_by(b & 16);
        else attach();
        break;
    case 14:
        m.troubled = 1;
        alloc_fail_at(1 + b / 16);
        break;
    case 15:
        for (int i = 0; i < 2; i++) {
            redisAsyncHandleWrite(m.ac);
            while (!(m.how & HOSTILE) && m.served < m.commands && m.ac != NULL) {
                int before = m.served;
                serve_next();
                if (m.served == before) break;
            }
            if (m.ac != NULL) redisAsyncHandleRead(m.ac);
            if (m.ac == NULL) break;
        }
    }
    check_sent();
    look();
}

/* All that is owed arrives: then everybody has heard what the model says. */
static void finish(void) {
    memset(net.answers, 0, sizeof(net.answers));
    alloc_fail_never();
    m.act_in = 0;
    for (int i = 0; i < 3 + COMMANDS && m.ac != NULL && !m.dead; i++) {
        redisAsyncHandleWrite(m.ac);
        while (m.served < m.commands) {
            int before = m.served;
            serve_next();
            if (m.served == before) break;
        }
        if (m.ac != NULL && !m.dead) redisAsyncHandleRead(m.ac);
        look();
        int all_read = m.served == m.commands && net.received == net.incoming.len;
        if (all_read && m.ac != NULL && !m.disconnecting) break;
    }
    if (m.troubled || m.freeing || m.dead) return;
    if (m.disconnecting) {
        if (m.ac != NULL) FAIL("a clean disconnect does not end");
        return;
    }
    CHECK(m.ac != NULL);
    CHECK_INT(m.ac->err, 0);
    CHECK_INT(net.sent.len, m.wanted.len);
    pass_unheard();
    if (m.next < m.events)
        FAIL("event %d of %d reached nobody: \"%s\"", m.next, m.events, event[m.next].text.p);
    for (int t = 0; t < m.commands; t++) {
        const struct command *c = &m.command[t];
        if (c->accepted && !c->nobody && is_regular(c) && c->calls == 0)
            FAIL("command %d (%s) was not answered", t, words_of(c, t));
    }
    CHECK_INT((m.ac->c.flags & REDIS_SUBSCRIBED) != 0, listening() > 0);
}

static void check_end(void) {
    for (int t = 0; t < m.commands; t++) {
        const struct command *c = &m.command[t];
        if (!c->accepted && c->calls > 0) FAIL("command %d was refused and called", t);
        if (!c->accepted || c->nobody) continue;
        if (is_regular(c) && c->what != MONITOR && c->calls != 1)
            FAIL("command %d (%s) was called %d times", t, words_of(c, t), c->calls);
        if (c->what == MONITOR && c->calls == 0) FAIL("command %d (MONITOR) was never called", t);
        if (c->what == FORBIDDEN && !(m.how & HOSTILE) && c->calls != 1)
            FAIL("command %d (%s) was called %d times", t, words_of(c, t), c->calls);
    }
    CHECK_INT(m.datas, 1);
    CHECK(!m.attached);
    if (m.connects == 0) CHECK_INT(m.disconnects, 0);
}

static void begin(struct input *in) {
    struct text wanted = m.wanted;
    redisOptions o = {0};
    struct timeval tv = {0, 500000};
    memset(&m, 0, sizeof(m));
    m.wanted = wanted;
    text_clear(&m.wanted);
    m.monitor = -1;
    m.how = in_byte(in);
    m.protocol = 2;
    reading = writing = timing = 0;
    net_begin();
    for (int i = 0; i < NET_ANSWERS; i++) net.answers[NET_RECV][i] = in_byte(in);
    for (int i = 0; i < NET_ANSWERS; i++) net.answers[NET_SEND][i] = in_byte(in);
    for (int i = 0; i < NET_ANSWERS; i++)
        m.troubled |= net.answers[NET_RECV][i] == 254 || net.answers[NET_SEND][i] == 254;
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = net_fd();
    if (m.how & NO_AUTO_FREE) o.options |= REDIS_OPT_NOAUTOFREE;
    if (m.how & OWN_REPLIES) o.options |= REDIS_OPT_NOAUTOFREEREPLIES;
    if (m.how & TIMEOUT) o.command_timeout = &tv;
    o.async_push_cb = pushed;
    m.ac = redisAsyncConnectWithOptions(&o);
    CHECK(m.ac != NULL);
    m.ac->data = &m;
    m.ac->dataCleanup = data_gone;
    if (m.how & OWN_TABLE) {
        redisContextFuncs table = *m.ac->c.funcs;
        table.read = own_read;
        table.write = own_write;
        own_table = table;
        m.ac->c.funcs = &own_table;
    }
    if (!(m.how & ATTACH_LATE)) attach();
    redisAsyncSetConnectCallbackNC(m.ac, on_connect);
    redisAsyncSetDisconnectCallback(m.ac, on_disconnect);
}

void fuzz_one(struct input *in) {
    begin(in);
    if ((m.how & RESP3) && !(m.how & HOSTILE)) {
        static const uint8_t hello[2] = {HELLO, 65};
        struct input first = {hello, hello + 2};
        ask(&first);
    }
    for (int i = 0; i < STEPS && in_left(in) > 0 && m.ac != NULL && !m.dead; i++) step(in);
    alloc_fail_never();
    m.act_in = 0;
    if (!(m.how & HOSTILE)) finish();
    if (m.ac != NULL) end_by(1);
    check_end();
    net_end();
}
