/* Connections: many in turn (connect-churn), or many at once, each used once (contexts-10000) or all of
 * them on one loop (contexts-1000-by-10). */
#include "hibench.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors for that many connections, and a few more. */
static void allow_connections(uint64_t count) {
    struct rlimit present, files = {.rlim_cur = count + 64, .rlim_max = count + 64};
    CHECK(getrlimit(RLIMIT_NOFILE, &present) == 0);
    if (present.rlim_max > files.rlim_max) files.rlim_max = present.rlim_max;
    if (present.rlim_cur < files.rlim_cur) CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
}

void run_connections(const Scenario *scenario, uint64_t repeats) {
    bool keep = scenario->memory;
    if (keep) allow_connections(repeats);
    start_ping_responder(keep, scenario->tcp);
    uint64_t expected = digest_of_text(REDIS_REPLY_STATUS, "PONG", 4);
    Loop *loops = allocate((keep ? repeats : 1) * sizeof *loops);
    memset(loops, 1, (keep ? repeats : 1) * sizeof *loops); /* resident before the count begins */
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        Loop *loop = &loops[keep ? i : 0];
        loop_connect(loop);
        CHECK(redisAsyncCommand(loop->context, on_reply, &expected, "PING") == REDIS_OK);
        loop_until(loop, i + 1);
        if (!keep) loop_disconnect(loop);
    }
    measure_end(repeats);
    if (!keep) return;
    result.item_bytes = (double)(resident_kib() - result.start_kib) * KIB / (double)repeats;
    for (uint64_t i = 0; i < repeats; i++) loop_disconnect(&loops[i]);
}

/* ---- one loop for all ---- */

enum { IN_FLIGHT = 10 };

typedef struct {
    redisAsyncContext *context;
    bool reads, writes; /* what the library wants to know of */
} Member;

static void member_add_read(void *member) { ((Member *)member)->reads = true; }
static void member_del_read(void *member) { ((Member *)member)->reads = false; }
static void member_add_write(void *member) { ((Member *)member)->writes = true; }
static void member_del_write(void *member) { ((Member *)member)->writes = false; }
static void member_clean_up(void *member) { ((Member *)member)->context = NULL; }

static void join(Member *member, int events) {
    redisAsyncContext *context = connect_async();
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = member};
    *member = (Member){.context = context};
    context->ev.data = member;
    context->ev.addRead = member_add_read;
    context->ev.delRead = member_del_read;
    context->ev.addWrite = member_add_write;
    context->ev.delWrite = member_del_write;
    context->ev.cleanup = member_clean_up;
    CHECK(epoll_ctl(events, EPOLL_CTL_ADD, context->c.fd, &watch) == 0);
}

/* Requests are far smaller than a socket's buffer: who wants to write may do so without asking epoll. */
static void round_of_commands(Member *first, size_t count, int events, const uint64_t *expected) {
    enum { AT_ONCE = 64 };
    struct epoll_event ready[AT_ONCE];
    uint64_t wanted = replies_received + count * IN_FLIGHT;
    for (Member *member = first; member < first + count; member++)
        for (int i = 0; i < IN_FLIGHT; i++)
            CHECK(redisAsyncCommand(member->context, on_reply, (void *)expected, "PING") == REDIS_OK);
    for (Member *member = first; member < first + count; member++)
        if (member->writes) redisAsyncHandleWrite(member->context);
    while (replies_received < wanted) {
        int woken = epoll_wait(events, ready, AT_ONCE, STALL_MS);
        CHECK(woken > 0);
        for (int i = 0; i < woken; i++) {
            Member *member = ready[i].data.ptr;
            CHECK(member->reads);
            redisAsyncHandleRead(member->context);
            CHECK(member->context != NULL);
            if (member->writes) redisAsyncHandleWrite(member->context);
        }
    }
}

/* All connections exist before measuring begins; each repeat is a round on all of them. */
void run_many(const Scenario *scenario, uint64_t repeats) {
    size_t count = scenario->size;
    allow_connections(count);
    Script script = {.read_size = 64 * KIB, .many = true};
    Step *step = add_step(&script);
    for (int i = 0; i < IN_FLIGHT; i++) {
        append_format(&step->request, "*1\r\n$4\r\nPING\r\n");
        append_format(&step->reply, "+PONG\r\n");
    }
    start_responder(&script);
    uint64_t expected = digest_of_text(REDIS_REPLY_STATUS, "PONG", 4);
    Member *members = allocate(count * sizeof *members);
    int events = epoll_create1(0);
    CHECK(events >= 0);
    for (size_t i = 0; i < count; i++) {
        join(&members[i], events);
        round_of_commands(&members[i], 1, events, &expected);
    }
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) round_of_commands(members, count, events, &expected);
    measure_end(repeats * count * IN_FLIGHT);
    for (size_t i = 0; i < count; i++) {
        redisAsyncDisconnect(members[i].context);
        CHECK(members[i].context == NULL);
    }
    close(events);
    free(members);
}
