/* The other end of each connection: a forked process that plays back bytes composed beforehand and checks
 * each request byte for byte. Its time is not counted. */
#include "hibench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

Address responder;
static pid_t responder_pid;
static char directory[64];

static void stop_responder(void) {
    if (responder_pid > 0) {
        kill(responder_pid, SIGKILL);
        waitpid(responder_pid, NULL, 0);
    }
    unlink(responder.path);
    rmdir(directory);
}

static void write_all(int fd, const Buffer *buffer) {
    ssize_t written = 0;
    for (size_t at = 0; at < buffer->len && written >= 0; at += (size_t)written)
        written = write(fd, buffer->bytes + at, buffer->len - at);
}

/* How far a connection has come. */
typedef struct {
    size_t step, matched;
} Progress;

static char chunk[64 * KIB];

/* Checks what came and answers each request that is complete; returns how many were. */
static size_t answer(int fd, const Script *script, Progress *progress, size_t got) {
    size_t answered = 0;
    for (size_t at = 0, len; at < got; at += len) {
        const Step *step = &script->steps[progress->step];
        size_t here = got - at, missing = step->request.len - progress->matched;
        len = here < missing ? here : missing;
        if (memcmp(chunk + at, step->request.bytes + progress->matched, len) != 0) {
            fprintf(stderr, "hibench: wrong request, near byte %zu of %zu\n", progress->matched,
                    step->request.len);
            _exit(1);
        }
        progress->matched += len;
        if (progress->matched < step->request.len) continue;
        write_all(fd, &step->reply);
        progress->matched = 0;
        if (progress->step + 1 < script->count) progress->step++;
        answered++;
    }
    return answered;
}

static void serve(int fd, const Script *script) {
    Progress progress = {0};
    ssize_t got;
    while ((got = read(fd, chunk, script->read_size)) > 0)
        if (answer(fd, script, &progress, (size_t)got) != 0 && script->keep_open) return;
    close(fd);
}

static void serve_many(int listener, const Script *script) {
    enum { AT_ONCE = 64 };
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    Progress *progress = calloc(files.rlim_cur, sizeof *progress); /* by descriptor */
    int events = epoll_create1(0);
    struct epoll_event ready[AT_ONCE], watch = {.events = EPOLLIN, .data.fd = listener};
    CHECK(progress != NULL && events >= 0 && epoll_ctl(events, EPOLL_CTL_ADD, listener, &watch) == 0);
    for (int count; (count = epoll_wait(events, ready, AT_ONCE, -1)) > 0;) {
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                watch.data.fd = accept(listener, NULL, NULL);
                CHECK(watch.data.fd >= 0 && epoll_ctl(events, EPOLL_CTL_ADD, watch.data.fd, &watch) == 0);
                progress[watch.data.fd] = (Progress){0};
                continue;
            }
            ssize_t got = read(fd, chunk, script->read_size);
            if (got > 0) answer(fd, script, &progress[fd], (size_t)got);
            else close(fd);
        }
    }
}

static int listen_unix(void) {
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/hibench.XXXXXX", parent ? parent : "/tmp");
    CHECK(mkdtemp(directory) != NULL);
    snprintf(responder.path, sizeof responder.path, "%s/socket", directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, responder.path, strlen(responder.path));
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    return listener;
}

static int listen_tcp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, len) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    /* Inherited by the connections: as a server has it. */
    CHECK(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    responder.port = ntohs(address.sin_port);
    return listener;
}

Step *add_step(Script *script) {
    script->steps = realloc(script->steps, (script->count + 1) * sizeof *script->steps);
    CHECK(script->steps != NULL);
    script->steps[script->count] = (Step){{0}, {0}};
    return &script->steps[script->count++];
}

void start_responder(Script *script) {
    int listener = script->tcp ? listen_tcp() : listen_unix();
    atexit(stop_responder);
    CHECK(listen(listener, 512) == 0);
    responder_pid = fork();
    CHECK(responder_pid >= 0);
    if (responder_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (script->many) serve_many(listener, script);
        else
            for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) serve(fd, script);
        _exit(1);
    }
    close(listener);
    for (size_t i = 0; i < script->count; i++) {
        free(script->steps[i].request.bytes);
        free(script->steps[i].reply.bytes);
    }
    free(script->steps);
}

void start_ping_responder(bool keep_open, bool tcp) {
    Script script = {.read_size = 64 * KIB, .keep_open = keep_open, .tcp = tcp};
    Step *step = add_step(&script);
    append_format(&step->request, "*1\r\n$4\r\nPING\r\n");
    append_format(&step->reply, "+PONG\r\n");
    start_responder(&script);
}

void append_get(Buffer *request, size_t id) {
    append_format(request, "*2\r\n$3\r\nGET\r\n$9\r\nkey:%05zu\r\n", id);
}

uint64_t *start_get_responder(const Scenario *scenario, size_t push_every) {
    Script script = {.read_size = 64 * KIB, .tcp = scenario->tcp};
    Step *step = add_step(&script);
    uint64_t *expected = allocate(scenario->size * sizeof *expected);
    char *value = pattern(scenario->value_len);
    for (size_t id = 0; id < scenario->size; id++) {
        for (size_t digits = 5, rest = id; digits-- > 0; rest /= 10) value[digits] = (char)('0' + rest % 10);
        expected[id] = digest_of_text(REDIS_REPLY_STRING, value, scenario->value_len);
        append_get(&step->request, id);
        append_bulk(&step->reply, value, scenario->value_len);
        if (push_every != 0 && (id + 1) % push_every == 0)
            append_format(&step->reply, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$9\r\nkey:%05zu\r\n", id);
    }
    free(value);
    start_responder(&script);
    return expected;
}
