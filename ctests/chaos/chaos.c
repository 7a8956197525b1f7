/* One round of faults: some hundred connections to a live redis-server through a proxy that harms
 * them, all from one seed. scripts/chaos plays as many rounds as there is time for.
 *
 *     chaos epoll|libevent|blocking SEED CONNECTIONS [PLANT]
 *
 * The server is found by TEST_REDIS_UNIX. The lines that begin with a number count what happened, for
 * the script; PLANT is an error made on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include "blocking.h"
#include "loop.h"
#include "memory.h"
#include "session.h"
#include "tally.h"
#include "values.h"

static struct event_base *base;

static int libevent_attach(redisAsyncContext *ac) { return redisLibeventAttach(ac, base); }

static void woken(evutil_socket_t fd, short what, void *unused) {
    (void)fd;
    (void)what;
    (void)unused;
}

static void libevent_turn(int ms) {
    static const struct timeval unit = {0, 1000};
    struct timeval tv = {0, unit.tv_usec * ms};
    struct event *e = event_new(base, -1, 0, woken, NULL);
    if (e == NULL || event_add(e, &tv) != 0) abort();
    event_base_loop(base, EVLOOP_ONCE);
    event_free(e);
}

/* Nothing of an earlier round is left on the server. */
static void clear_server(const char *path) {
    redisContext *c = redisConnectUnix(path);
    redisReply *r = c == NULL || c->err ? NULL : redisCommand(c, "FLUSHALL");
    if (r == NULL || r->type != REDIS_REPLY_STATUS) {
        fprintf(stderr, "chaos: no server at %s\n", path);
        exit(2);
    }
    freeReplyObject(r);
    redisFree(c);
}

static void tell(const struct proxy_report *report) {
    for (int i = 0; i < TALLIES; i++) printf("%lu %s\n", tallied((enum tally)i), tally_names[i]);
    for (int i = 0; i < FAULTS; i++) printf("%lu fault: %s\n", report->faults[i], fault_names[i]);
    for (int i = 0; i < MANNERS; i++) printf("%lu manner: %s\n", report->manners[i], manner_names[i]);
    printf("%llu bytes through the proxy\n", report->bytes);
}

int main(int argc, char **argv) {
    const char *server = getenv("TEST_REDIS_UNIX"), *dir = getenv("TEST_TMP");
    if (argc < 4 || server == NULL) {
        fprintf(stderr, "usage: chaos epoll|libevent|blocking SEED CONNECTIONS [PLANT]\n");
        return 2;
    }
    struct proxy proxy;
    struct play play = {.seed = strtoull(argv[2], NULL, 10), .proxy = &proxy, .server = server,
                        .connections = strtoul(argv[3], NULL, 10), .limit_s = 60,
                        .attach = loop_attach, .turn = loop_turn};
    if (argc > 4) plant = argv[4];
    if (!values_make(play.seed) || !proxy_start(&proxy, play.seed, server, dir != NULL ? dir : "/tmp")) {
        perror("chaos: the proxy does not start");
        return 2;
    }
    /* Some seconds are enough: what breaks may well run in a circle. */
    alarm(300);
    memory_install();
    clear_server(server);
    int descriptors = open_descriptors();

    if (strcmp(argv[1], "blocking") == 0) {
        blocking_play(&play);
    } else if (strcmp(argv[1], "libevent") == 0) {
        play.attach = libevent_attach;
        play.turn = libevent_turn;
        if ((base = event_base_new()) == NULL) abort();
        sessions_play(&play);
        event_base_free(base);
    } else {
        if (loop_open() != REDIS_OK) abort();
        sessions_play(&play);
        loop_close();
    }

    proxy_stop(&proxy);
    if (proxy.report->unserved > 0)
        broken("the proxy could not reach the server %lu times", proxy.report->unserved);
    if (memory_blocks() != 0)
        broken("%zu blocks with %zu bytes were not freed", memory_blocks(), memory_bytes());
    if (open_descriptors() != descriptors)
        broken("%d descriptors before, %d after", descriptors, open_descriptors());
    tell(proxy.report);
    proxy_forget(&proxy);
    values_free();
    return broken_promises() == 0 ? 0 : 1;
}
