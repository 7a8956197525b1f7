/* Runs the registered tests and reports: see test.h and README.md. */
#include "test.h"

#include <errno.h>
#include <fnmatch.h>
#include <locale.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum outcome { PASSED = 0, FAILED = 1, SKIPPED = 77 };

static struct test *tests;
static size_t test_count;

static jmp_buf test_end;
static pid_t test_process;
static char message[2048];
static uint32_t random_state;

/* ---- Texts that live until the test ends ---------------------------------- */

struct scratch {
    struct scratch *next;
};
static struct scratch *scratch;

void *test_bytes(size_t size) {
    struct scratch *s = malloc(sizeof(*s) + size);
    if (s == NULL) FAIL("the test itself is out of memory");
    s->next = scratch;
    scratch = s;
    return s + 1;
}

char *test_printf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = test_bytes((size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}

static void scratch_free(void) {
    while (scratch != NULL) {
        struct scratch *next = scratch->next;
        free(scratch);
        scratch = next;
    }
}

struct text {
    char *start;
    size_t len, room;
};

static void text_add(struct text *t, const char *bytes, size_t len) {
    if (t->len + len + 1 > t->room) {
        size_t room = 2 * (t->len + len + 1);
        char *grown = test_bytes(room);
        if (t->len > 0) memcpy(grown, t->start, t->len);
        t->start = grown;
        t->room = room;
    }
    if (len > 0) memcpy(t->start + t->len, bytes, len);
    t->len += len;
    t->start[t->len] = '\0';
}

static void text_add_shown(struct text *t, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char shown[8];
        if (c >= 0x20 && c < 0x7f && c != '\\' && c != '"') {
            text_add(t, bytes + i, 1);
        } else {
            snprintf(shown, sizeof(shown), c == '\\' || c == '"' ? "\\%c" : "\\x%02x", c);
            text_add(t, shown, strlen(shown));
        }
    }
}

static const char *shown(const void *bytes, size_t len) {
    struct text t = {NULL, 0, 0};
    size_t most = 300;
    if (bytes == NULL) return "NULL";
    text_add(&t, "\"", 1);
    text_add_shown(&t, bytes, len < most ? len : most);
    text_add(&t, "\"", 1);
    if (len > most) text_add(&t, "...", 3);
    return t.start;
}

/* ---- Checks ---------------------------------------------------------------- */

static void leave(int outcome) {
    /* Only the process of the test may jump; one that it forked has no runner. */
    if (getpid() == test_process) longjmp(test_end, outcome);
    fprintf(stderr, "check failed in a process forked by the test: %s\n", message);
    _exit(FAILED);
}

void test_fail(const char *file, int line, const char *fmt, ...) {
    const char *name = strrchr(file, '/');
    int len = snprintf(message, sizeof(message), "%s:%d: ", name != NULL ? name + 1 : file, line);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message + len, sizeof(message) - (size_t)len, fmt, ap);
    va_end(ap);
    leave(FAILED);
    abort();
}

void test_skip(const char *reason) {
    snprintf(message, sizeof(message), "%s", reason);
    leave(SKIPPED);
    abort();
}

void test_check_int(const char *file, int line, const char *expr, long long got, long long want) {
    if (got != want) test_fail(file, line, "%s: got %lld, wanted %lld", expr, got, want);
}

void test_check_uint(const char *file, int line, const char *expr, unsigned long long got,
                     unsigned long long want) {
    if (got != want) test_fail(file, line, "%s: got %llu (%#llx), wanted %llu", expr, got, got, want);
}

void test_check_str(const char *file, int line, const char *expr, const char *got, const char *want) {
    if (got == want || (got != NULL && want != NULL && strcmp(got, want) == 0)) return;
    test_fail(file, line, "%s: got %s, wanted %s", expr, shown(got, got != NULL ? strlen(got) : 0),
              shown(want, want != NULL ? strlen(want) : 0));
}

void test_check_mem(const char *file, int line, const char *expr, const void *got, size_t gotlen,
                    const void *want, size_t wantlen) {
    if (gotlen == wantlen && got != NULL && (wantlen == 0 || memcmp(got, want, wantlen) == 0)) return;
    test_fail(file, line, "%s: got %zu bytes %s, wanted %zu bytes %s", expr, gotlen, shown(got, gotlen),
              wantlen, shown(want, wantlen));
}

static const redisReply *check_type(const char *file, int line, const char *expr, const void *reply,
                                    int type) {
    const redisReply *r = reply;
    if (r == NULL) test_fail(file, line, "%s: got no reply, wanted type %d", expr, type);
    if (r->type != type)
        test_fail(file, line, "%s: got type %d, wanted %d: %s", expr, r->type, type, reply_text(reply));
    return r;
}

void test_check_reply(const char *file, int line, const char *expr, const void *reply, int type,
                      const char *text, size_t len) {
    const redisReply *r = check_type(file, line, expr, reply, type);
    test_check_mem(file, line, expr, r->str, r->len, text, len);
    if (r->str[r->len] != '\0') test_fail(file, line, "%s: the text is not NUL terminated", expr);
}

void test_check_reply_int(const char *file, int line, const char *expr, const void *reply, int type,
                          long long value) {
    const redisReply *r = check_type(file, line, expr, reply, type);
    if (type != REDIS_REPLY_NIL) test_check_int(file, line, expr, r->integer, value);
}

void test_check_reply_elements(const char *file, int line, const char *expr, const void *reply, int type,
                               size_t elements) {
    const redisReply *r = check_type(file, line, expr, reply, type);
    if (r->elements != elements)
        test_fail(file, line, "%s: got %zu elements, wanted %zu: %s", expr, r->elements, elements,
                  reply_text(reply));
    if (elements == 0 && r->element != NULL) test_fail(file, line, "%s: no elements, but a vector", expr);
}

static void text_add_reply(struct text *t, const redisReply *r) {
    /* In the order of the reply types: how each is shown. */
    static const char *const opening[] = {"",  "",  "*", ":", "nil", "+", "-", ",",
                                          "#", "%", "~", "|", ">",   "(", "="};
    char number[32];
    if (r == NULL) {
        text_add(t, "NULL", 4);
        return;
    }
    if (r->type < 1 || r->type > 14) {
        snprintf(number, sizeof(number), "?%d", r->type);
        text_add(t, number, strlen(number));
        return;
    }
    text_add(t, opening[r->type], strlen(opening[r->type]));
    switch (r->type) {
    case 1:
        text_add(t, "\"", 1);
        text_add_shown(t, r->str, r->len);
        text_add(t, "\"", 1);
        break;
    case 2:
    case 9:
    case 10:
    case 11:
    case 12:
        text_add(t, "[", 1);
        for (size_t i = 0; i < r->elements; i++) {
            if (i > 0) text_add(t, " ", 1);
            text_add_reply(t, r->element[i]);
        }
        text_add(t, "]", 1);
        break;
    case 3:
        snprintf(number, sizeof(number), "%lld", r->integer);
        text_add(t, number, strlen(number));
        break;
    case 5:
    case 6:
    case 7:
    case 13: text_add_shown(t, r->str, r->len); break;
    case 8: text_add(t, r->integer ? "t" : "f", 1); break;
#if HIREDIS_MAJOR >= 1
    case 14:
        text_add_shown(t, r->vtype, 3);
        text_add(t, ":\"", 2);
        text_add_shown(t, r->str, r->len);
        text_add(t, "\"", 1);
        break;
#endif
    }
}

const char *reply_text(const void *reply) {
    struct text t = {NULL, 0, 0};
    text_add_reply(&t, reply);
    return t.start;
}

/* ---- The environment -------------------------------------------------------- */

static const char *variable(const char *name) {
    const char *value = getenv(name);
    if (value == NULL || *value == '\0') FAIL("%s is not set: run the suite by ctests/run", name);
    return value;
}

const char *live_unix(void) { return variable("TEST_REDIS_UNIX"); }
int live_port(void) { return atoi(variable("TEST_REDIS_PORT")); }
const char *test_tmp(void) { return variable("TEST_TMP"); }

double test_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void test_sleep_ms(int ms) {
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) continue;
}

void test_comma_locale(void) {
    static const char *const known[] = {"de_DE.UTF-8", "de_DE.utf8",  "fr_FR.UTF-8", "fr_FR.utf8",
                                        "es_ES.UTF-8", "it_IT.UTF-8", "de_DE",       "ru_RU.UTF-8"};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (setlocale(LC_ALL, known[i]) != NULL && *localeconv()->decimal_point == ',') return;
    }
    const char *make =
        test_printf("localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", test_tmp());
    int status = system(make);
    setenv("LOCPATH", test_tmp(), 1);
    if (status != -1 && setlocale(LC_ALL, "de_DE.UTF-8") != NULL && *localeconv()->decimal_point == ',')
        return;
    SKIP("no locale with a decimal comma here, and localedef cannot make one");
}

unsigned test_seed(void) {
    const char *seed = getenv("TEST_SEED");
    return seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 1;
}

uint32_t test_random(void) {
    /* xorshift32 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* ---- Running ----------------------------------------------------------------- */

void test_register(struct test *t) {
    t->next = tests;
    tests = t;
    test_count++;
}

/* Runs one test in this process. */
static int run_here(const struct test *t) {
    message[0] = '\0';
    test_process = getpid();
    random_state = test_seed() * 2654435761u + 1;
    if (random_state == 0) random_state = 1;
    int outcome = setjmp(test_end);
    if (outcome == PASSED) t->run();
#if HIREDIS_MAJOR >= 1
    hiredisResetAllocators();
#endif
    setlocale(LC_ALL, "C");
    scratch_free();
    return outcome;
}

/* Seconds for the test that runs, which sets them in its own process: shared. */
static double *allowed;

void test_may_take(double seconds) {
    *allowed = seconds;
}

static double time_limit(void) {
    const char *factor = getenv("TEST_TIMEOUT");
    double f = factor != NULL ? atof(factor) : 1;
    return *allowed * (f > 0 ? f : 1);
}

static volatile sig_atomic_t running; /* the process group of the test that runs */

static void on_interrupt(int signal) {
    (void)signal;
    if (running > 0) kill(-(pid_t)running, SIGKILL);
    _exit(130);
}

/* Runs one test in a process group of its own, and ends whatever it leaves there. */
static int run_forked(const struct test *t) {
    int channel[2];
    size_t got = 0;
    int status = 0, ended = 0, open = 1;

    if (pipe(channel) == -1) {
        perror("pipe");
        exit(2);
    }
    fflush(NULL);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    pid_t pid = fork();
    if (pid == -1) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        setpgid(0, 0);
        close(channel[0]);
        int outcome = run_here(t);
        size_t len = strlen(message);
        if (write(channel[1], message, len) != (ssize_t)len) outcome = FAILED;
        exit(outcome);
    }
    setpgid(pid, pid);
    running = pid;
    close(channel[1]);

    double start = test_now();
    while (!ended && test_now() - start < time_limit()) {
        struct pollfd p = {channel[0], POLLIN, 0};
        /* What the test forked may hold the pipe open, so do not wait for its end alone. */
        if (poll(&p, open ? 1 : 0, open ? 20 : 1) > 0) {
            ssize_t n = read(channel[0], message + got, sizeof(message) - 1 - got);
            if (n > 0) got += (size_t)n;
            else open = 0;
        }
        ended = waitpid(pid, &status, WNOHANG) == pid;
    }
    if (ended && open) {
        struct pollfd p = {channel[0], POLLIN, 0};
        if (poll(&p, 1, 0) > 0) {
            ssize_t n = read(channel[0], message + got, sizeof(message) - 1 - got);
            if (n > 0) got += (size_t)n;
        }
    }
    message[got] = '\0';
    close(channel[0]);
    kill(-pid, SIGKILL);
    running = 0;
    if (!ended) {
        waitpid(pid, &status, 0);
        snprintf(message, sizeof(message), "still running after %.0f s", time_limit());
        return FAILED;
    }
    if (WIFSIGNALED(status)) {
        snprintf(message, sizeof(message), "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
        return FAILED;
    }
    int code = WEXITSTATUS(status);
    if (code == PASSED || code == SKIPPED) return code;
    if (code != FAILED || got == 0) snprintf(message, sizeof(message), "exit status %d", code);
    return FAILED;
}

static int in_order(const void *a, const void *b) {
    const struct test *x = *(const struct test *const *)a, *y = *(const struct test *const *)b;
    int files = strcmp(x->file, y->file);
    return files != 0 ? files : x->line - y->line;
}

static int chosen(const struct test *t, const char *group, char **names, int count) {
    if (group != NULL && strcmp(group, t->group) != 0) return 0;
    for (int i = 0; i < count; i++) {
        if (fnmatch(names[i], t->name, 0) == 0) return 1;
    }
    return count == 0;
}

static int usage(void) {
    fprintf(stderr, "usage: suite [--list | --index] [--no-fork] [--group GROUP] [NAME...]\n"
                    "NAME is the name of a test and may contain * and ?\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *group = NULL;
    int list = 0, index = 0, no_fork = 0, passed = 0, failed = 0, skipped = 0, i;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--list") == 0) list = 1;
        else if (strcmp(argv[i], "--index") == 0) index = 1;
        else if (strcmp(argv[i], "--no-fork") == 0) no_fork = 1;
        else if (strcmp(argv[i], "--group") == 0 && i + 1 < argc) group = argv[++i];
        else return usage();
    }

    allowed = mmap(NULL, sizeof *allowed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (allowed == MAP_FAILED) return 2;
    const struct test **all = calloc(test_count + 1, sizeof(*all));
    if (all == NULL) return 2;
    size_t n = 0;
    for (const struct test *t = tests; t != NULL; t = t->next) all[n++] = t;
    qsort(all, n, sizeof(*all), in_order);

    for (size_t k = 0; k < n; k++) {
        const struct test *t = all[k];
        if (!chosen(t, group, argv + i, argc - i)) continue;
        if (list || index) {
            printf(index ? "%s %s\t%s\n" : "%s %s\n", t->group, t->name, t->items);
            passed++;
            continue;
        }
        *allowed = 30;
        int outcome = SKIPPED;
        if (t->skip != NULL) snprintf(message, sizeof(message), "%s", t->skip);
        else outcome = no_fork ? run_here(t) : run_forked(t);

        if (outcome == PASSED) {
            passed++;
            printf("ok   %s %s\n", t->group, t->name);
        } else {
            if (outcome == SKIPPED) skipped++;
            else failed++;
            printf("%s %s %s: %s\n", outcome == SKIPPED ? "skip" : "FAIL", t->group, t->name, message);
        }
        fflush(stdout);
    }
    free(all);
    if (passed + failed + skipped == 0) {
        fprintf(stderr, "no such test\n");
        return 2;
    }
    if (!list && !index) printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0;
}
