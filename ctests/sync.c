#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "fake.h"

redisContext *live(void) {
    redisContext *c = redisConnectUnix(live_unix());

    if (c == NULL || c->err != 0)
        FAIL("cannot connect to the live server: %s", c != NULL ? c->errstr : "no context");
    return c;
}

redisContext *live_tcp(void) {
    redisContext *c = redisConnect("127.0.0.1", live_port());

    if (c == NULL || c->err != 0)
        FAIL("cannot connect to the live server: %s", c != NULL ? c->errstr : "no context");
    return c;
}

static const char *text_of(redisContext *c, void *reply, const char *what) {
    const char *text;

    if (reply == NULL)
        FAIL("%s: no reply, error %d \"%s\"", what, c->err, c->errstr);
    text = reply_text(reply);
    freeReplyObject(reply);
    return text;
}

const char *command_text(redisContext *c, const char *format, ...) {
    va_list ap;
    void *reply;

    va_start(ap, format);
    reply = redisvCommand(c, format, ap);
    va_end(ap);
    return text_of(c, reply, format);
}

const char *next_reply(redisContext *c) {
    void *reply = NULL;

    if (redisGetReply(c, &reply) != REDIS_OK)
        FAIL("redisGetReply: error %d \"%s\"", c->err, c->errstr);
    return text_of(c, reply, "redisGetReply");
}

void test_check_error(const char *file, int line, const redisContext *c, int err, const char *text) {
    if (c == NULL)
        test_fail(file, line, "there is no context");
    if (c->err != err || strcmp(c->errstr, text) != 0)
        test_fail(file, line, "got error %d \"%s\", wanted %d \"%s\"", c->err, c->errstr, err, text);
}

redisContext *pair_context(int *peer) {
    int fd[2];
    redisContext *c;

    hand_pair(fd);
    c = redisConnectFd(fd[0]);
    if (c == NULL || c->err != 0)
        FAIL("redisConnectFd: %s", c != NULL ? c->errstr : "no context");
    *peer = fd[1];
    return c;
}

static volatile sig_atomic_t alarm_count;

static void on_alarm(int sig) {
    (void)sig;
    alarm_count++;
}

int alarms(int ms) {
    struct itimerval t = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
    struct sigaction sa;
    int before = alarm_count;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_alarm; /* without SA_RESTART */
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
    alarm_count = 0;
    return before;
}

struct timeval seconds(double s) {
    struct timeval tv;

    tv.tv_sec = (time_t)s;
    tv.tv_usec = (suseconds_t)((s - (double)tv.tv_sec) * 1e6 + 0.5);
    return tv;
}

int public_flags(const redisContext *c) {
    int bits = REDIS_BLOCK | REDIS_CONNECTED | REDIS_DISCONNECTING | REDIS_FREEING | REDIS_IN_CALLBACK |
               REDIS_SUBSCRIBED | REDIS_MONITORING | REDIS_REUSEADDR;

#if HIREDIS_MAJOR >= 1
    bits |= REDIS_SUPPORTS_PUSH | REDIS_NO_AUTO_FREE | REDIS_NO_AUTO_FREE_REPLIES | REDIS_PREFER_IPV4 |
            REDIS_PREFER_IPV6;
#endif
    return c->flags & bits;
}

int socket_option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;

    if (getsockopt(fd, level, name, &value, &len) < 0)
        FAIL("getsockopt: %s", strerror(errno));
    return value;
}

int is_nonblocking(int fd) {
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

int is_open(int fd) {
    return fcntl(fd, F_GETFD) != -1;
}
