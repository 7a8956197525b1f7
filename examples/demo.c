/* What the asynchronous client does, seen from a seat: `make demo`.
 *
 *     ./demo [HOST PORT | /path/to/socket]
 *
 * One event loop, libevent's, drives every connection. Each step starts something, then
 * runs the loop until the callbacks say that it is finished. Whatever arrives is compared
 * with what must arrive; the exit status is 0 only if all of it did. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#define PAIRS 100000  /* of SET and GET */
#define WINDOW 1000   /* pairs on their way at any time */
#define KEYS 1000
#define MESSAGES 5
#define CHANNEL "demo:news"
#define TIME_LIMIT 50 /* seconds, for all steps together */

static struct event_base *base;
static int mismatches;
static int late;

/* ---- Telling and checking -------------------------------------------------------- */

static void expect(int good, const char *fmt, ...) {
    va_list ap;
    if (good) return;
    /* One is as bad as many, and easier to read. */
    if (++mismatches > 10) return;
    va_start(ap, fmt);
    fprintf(stderr, "\n   MISMATCH: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
}

static int is(const redisReply *r, int type, const char *text) {
    return r != NULL && r->type == type && strcmp(r->str, text) == 0;
}

/* 123456 as "123,456"; the text lives until the third next call. */
static const char *grouped(long n) {
    static char texts[3][32];
    static int which;
    char digits[24], *out = texts[which++ % 3], *to = out;
    int i, len = snprintf(digits, sizeof(digits), "%ld", n);
    for (i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

static double now(void) {
    struct timeval tv;
    gettimeofday(&tv, NULL);
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
    late = 1;
    event_base_loopbreak(base);
}

/* ---- Connections ------------------------------------------------------------------ */

/* What the callbacks tell about one connection; `ac->data` points to it. */
typedef struct link_state {
    int connected, failed, ended;
    int answered;
    int status;      /* the one that the connect or disconnect callback got last */
    int err;
    char text[128];  /* of the error */
} link_state;

/* Runs the loop until `*finished`; that the connection fails or ends may be what is waited
 * for, and is the end of the wait in any case. */
static void run_until(const int *finished, const link_state *link, const char *what) {
    while (!*finished && !link->failed && !link->ended && !late) {
        if (event_base_loop(base, EVLOOP_ONCE) != 0) break;
    }
    if (*finished) return;
    expect(0, "%s: %s", what, late ? "not finished in time" : link->text);
}

static int argument_count;
static char **arguments;

static void on_connect(const redisAsyncContext *ac, int status) {
    link_state *link = (link_state *)ac->data;
    link->status = status;
    link->err = ac->err;
    snprintf(link->text, sizeof(link->text), "%s", ac->errstr);
    if (status == REDIS_OK) link->connected = 1;
    else link->failed = 1;
}

static void on_disconnect(const redisAsyncContext *ac, int status) {
    link_state *link = (link_state *)ac->data;
    link->ended = 1;
    link->status = status;
    link->err = ac->err;
    snprintf(link->text, sizeof(link->text), "%s", ac->errstr);
}

/* To the server of the demo, or to `port` of this machine if it is not 0. */
static redisAsyncContext *open_link(link_state *link, int port, const struct timeval *timeout) {
    redisOptions options;
    redisAsyncContext *ac;
    memset(&options, 0, sizeof(options));
    memset(link, 0, sizeof(*link));
    if (port != 0) REDIS_OPTIONS_SET_TCP(&options, "127.0.0.1", port);
    else if (argument_count == 2) REDIS_OPTIONS_SET_UNIX(&options, arguments[1]);
    else if (argument_count == 3) REDIS_OPTIONS_SET_TCP(&options, arguments[1], atoi(arguments[2]));
    else REDIS_OPTIONS_SET_TCP(&options, "127.0.0.1", 6379);
    options.command_timeout = timeout;

    ac = redisAsyncConnectWithOptions(&options);
    if (ac == NULL || ac->err || redisLibeventAttach(ac, base) != REDIS_OK) {
        fprintf(stderr, "Cannot connect: %s\n", ac != NULL ? ac->errstr : "out of memory");
        redisAsyncFree(ac);
        exit(1);
    }
    ac->data = link;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    return ac;
}

/* ---- 1. Connect -------------------------------------------------------------------- */

static char version[32];

static void on_info(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    const char *at = r != NULL && r->str != NULL ? strstr(r->str, "redis_version:") : NULL;
    (void)privdata;
    expect(at != NULL, "INFO does not tell the version of the server");
    if (at != NULL) sscanf(at, "redis_version:%31[^\r\n]", version);
    ((link_state *)ac->data)->answered = 1;
}

static void step_connect(redisAsyncContext *ac, link_state *link) {
    printf("1. Connect through libevent\n");
    redisAsyncCommand(ac, on_info, NULL, "INFO server");
    run_until(&link->answered, link, "INFO");
    expect(link->connected && link->status == REDIS_OK, "the connect callback: %s", link->text);
    printf("   connected, the server is Redis %s\n\n", version);
}

/* ---- 2. Pipeline ------------------------------------------------------------------- */

static int sets_checked, gets_checked, pipeline_finished;
static double pipeline_began;

static void progress(void) {
    double took = now() - pipeline_began;
    int done = sets_checked + gets_checked, percent = done / (2 * PAIRS / 100);
    long rate = took > 0 ? (long)(done / took) : 0;
    if (isatty(STDOUT_FILENO)) {
        static const char full[] = "########################################";
        printf("\r   [%-40.*s] %3d %%  %s replies  %s a second ", percent * 40 / 100, full, percent,
               grouped(done), grouped(rate));
    } else if (percent % 25 == 0) {
        printf("   %3d %%  %s replies  %s a second\n", percent, grouped(done), grouped(rate));
    }
    fflush(stdout);
}

static void on_set(redisAsyncContext *ac, void *reply, void *privdata);
static void on_get(redisAsyncContext *ac, void *reply, void *privdata);

static void send_pair(redisAsyncContext *ac, long i) {
    redisAsyncCommand(ac, on_set, (void *)i, "SET demo:%ld value-%ld", i % KEYS, i);
    redisAsyncCommand(ac, on_get, (void *)i, "GET demo:%ld", i % KEYS);
}

static void on_set(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)ac;
    expect(is((redisReply *)reply, REDIS_REPLY_STATUS, "OK"), "reply to SET %ld", (long)privdata);
    sets_checked++;
}

static void on_get(redisAsyncContext *ac, void *reply, void *privdata) {
    long i = (long)privdata;
    char value[32];
    snprintf(value, sizeof(value), "value-%ld", i);
    expect(is((redisReply *)reply, REDIS_REPLY_STRING, value), "reply to GET %ld is not %s", i, value);
    expect(gets_checked == i, "the reply to GET %ld comes out of order", i);
    gets_checked++;
    if (reply == NULL) return;

    if (gets_checked % (PAIRS / 100) == 0) progress();
    if (gets_checked == PAIRS) pipeline_finished = 1;
    /* One comes back, the next one leaves. What leaves during one turn of the loop
     * goes out in one piece. */
    if (i + WINDOW < PAIRS) send_pair(ac, i + WINDOW);
}

static void step_pipeline(redisAsyncContext *ac, const link_state *link) {
    long i;
    double took;
    printf("2. Pipeline %s SET and %s GET\n", grouped(PAIRS), grouped(PAIRS));
    pipeline_began = now();
    for (i = 0; i < WINDOW; i++) send_pair(ac, i);
    run_until(&pipeline_finished, link, "pipeline");
    took = now() - pipeline_began;
    if (isatty(STDOUT_FILENO)) printf("\n");
    expect(sets_checked == PAIRS, "%d replies to SET", sets_checked);
    expect(gets_checked == PAIRS, "%d replies to GET", gets_checked);
    printf("   %s replies, each one checked, in %.2f s: %s commands a second\n\n",
           grouped(sets_checked + gets_checked), took, grouped((long)(2 * PAIRS / took)));
}

/* ---- 3. Publish and subscribe ------------------------------------------------------- */

static int heard, unsubscribed;

static void on_published(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)ac;
    (void)privdata;
    expect(r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer == 1,
           "PUBLISH reached not one subscriber");
}

static void on_message(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    redisAsyncContext *publisher = (redisAsyncContext *)privdata;
    const char *kind;
    char text[32];
    int i;

    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 3) {
        expect(0, "what came is no message: %s", r != NULL && r->str != NULL ? r->str : ac->errstr);
        return;
    }
    kind = r->element[0]->str;
    if (strcmp(kind, "subscribe") == 0) {
        printf("   subscribed to %s\n", r->element[1]->str);
        for (i = 1; i <= MESSAGES; i++)
            redisAsyncCommand(publisher, on_published, NULL, "PUBLISH " CHANNEL " message-%d", i);
    } else if (strcmp(kind, "message") == 0) {
        snprintf(text, sizeof(text), "message-%d", ++heard);
        expect(is(r->element[2], REDIS_REPLY_STRING, text), "the message is not %s", text);
        printf("   received %s\n", r->element[2]->str);
        if (heard == MESSAGES) redisAsyncCommand(ac, NULL, NULL, "UNSUBSCRIBE " CHANNEL);
    } else if (strcmp(kind, "unsubscribe") == 0) {
        printf("   unsubscribed\n");
        unsubscribed = 1;
    }
}

static void step_pubsub(redisAsyncContext *publisher) {
    link_state link;
    redisAsyncContext *ac = open_link(&link, 0, NULL);
    printf("3. Subscribe, and receive what another connection publishes\n");
    redisAsyncCommand(ac, on_message, publisher, "SUBSCRIBE " CHANNEL);
    run_until(&unsubscribed, &link, "subscription");
    /* A connection that ended by itself has freed its context. */
    if (!link.ended && !link.failed) redisAsyncDisconnect(ac);
    run_until(&link.ended, &link, "disconnect of the subscriber");
    expect(heard == MESSAGES, "%d messages", heard);
    expect(link.status == REDIS_OK, "the subscriber was disconnected: %s", link.text);
    printf("\n");
}

/* ---- 4. Errors ---------------------------------------------------------------------- */

static void on_incr(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)privdata;
    expect(is(r, REDIS_REPLY_ERROR, "ERR value is not an integer or out of range"), "INCR was not refused");
    if (r != NULL) printf("   %-42s %s\n", "an error of the server, INCR of a text:", r->str);
    ((link_state *)ac->data)->answered = 1;
}

static void on_lost(redisAsyncContext *ac, void *reply, void *privdata) {
    expect(reply == NULL, "%s was answered", (const char *)privdata);
    if (reply != NULL) redisAsyncDisconnect(ac);
    ((link_state *)ac->data)->answered = 1;
}

/* A port of this machine that nobody listens on, as long as the descriptor is open. */
static int refusing_port(int *fd) {
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(*fd, (struct sockaddr *)&address, len) != 0 ||
        getsockname(*fd, (struct sockaddr *)&address, &len) != 0) {
        perror("bind");
        exit(1);
    }
    return ntohs(address.sin_port);
}

static void step_errors(redisAsyncContext *ac, link_state *main_link) {
    struct timeval patience = {0, 300000};
    link_state link;
    redisAsyncContext *other;
    int fd, port = refusing_port(&fd);
    double began;

    printf("4. What goes wrong arrives in callbacks\n");
    main_link->answered = 0;
    redisAsyncCommand(ac, on_incr, NULL, "INCR demo:0");
    run_until(&main_link->answered, main_link, "INCR");

    other = open_link(&link, port, NULL);
    redisAsyncCommand(other, on_lost, "a command without a server", "PING");
    run_until(&link.failed, &link, "refused connection");
    expect(link.status == REDIS_ERR && link.err == REDIS_ERR_IO, "the connection was not refused");
    expect(strcmp(link.text, "Connection refused") == 0, "the connection failed otherwise: %s", link.text);
    expect(link.answered && !link.ended, "callbacks of the refused connection");
    printf("   %-42s %s\n", "a connection that is refused:", link.text);
    close(fd);

    began = now();
    other = open_link(&link, 0, &patience);
    redisAsyncCommand(other, on_lost, "BLPOP", "BLPOP demo:nothing 0");
    run_until(&link.ended, &link, "timeout");
    expect(link.connected && link.answered, "callbacks of the command that timed out");
    expect(link.status == REDIS_ERR && link.err == REDIS_ERR_TIMEOUT, "no timeout: %s", link.text);
    printf("   %-42s %s, after %.0f ms\n\n", "a reply that does not come, 300 ms given:", link.text,
           (now() - began) * 1e3);
}

/* ---- 5. Disconnect ------------------------------------------------------------------- */

static int deleted;

static void on_del(redisAsyncContext *ac, void *reply, void *privdata) {
    redisReply *r = (redisReply *)reply;
    (void)ac;
    expect(r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer == 1, "reply to DEL %ld",
           (long)privdata);
    deleted++;
}

static void step_disconnect(redisAsyncContext *ac, link_state *link) {
    long i;
    printf("5. Disconnect\n");
    for (i = 0; i < KEYS; i++) redisAsyncCommand(ac, on_del, (void *)i, "DEL demo:%ld", i);
    redisAsyncDisconnect(ac);
    expect(redisAsyncCommand(ac, NULL, NULL, "PING") == REDIS_ERR,
           "a command was accepted after the disconnect");
    run_until(&link->ended, link, "disconnect");
    expect(deleted == KEYS, "%d replies to DEL", deleted);
    expect(link->status == REDIS_OK, "the connection was lost: %s", link->text);
    printf("   asked for with %s commands on their way; all answered, then the end\n\n", grouped(deleted));
}

int main(int argc, char **argv) {
    struct timeval limit = {TIME_LIMIT, 0};
    struct event *watchdog;
    link_state link;
    redisAsyncContext *ac;

    if (argc > 3) {
        fprintf(stderr, "usage: demo [HOST PORT | /path/to/socket]\n");
        return 2;
    }
    argument_count = argc;
    arguments = argv;
    base = event_base_new();
    watchdog = base != NULL ? event_new(base, -1, 0, on_late, NULL) : NULL;
    if (watchdog == NULL) return 1;
    event_add(watchdog, &limit);

    ac = open_link(&link, 0, NULL);
    step_connect(ac, &link);
    if (mismatches == 0) step_pipeline(ac, &link);
    if (mismatches == 0) step_pubsub(ac);
    if (mismatches == 0) step_errors(ac, &link);
    if (mismatches == 0) step_disconnect(ac, &link);

    event_free(watchdog);
    event_base_free(base);
    if (mismatches > 0) {
        printf("Not everything was as it must be.\n");
        return 1;
    }
    printf("Everything arrived as it must.\n");
    return 0;
}
