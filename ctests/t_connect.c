/* Connecting in blocking mode: resolving, refusals, timeouts, several addresses. */
#include "fake.h"
#include "sync.h"
#include "syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* A listening socket on ::1, or the test is skipped. */
static int listen_ipv6(int *port) {
    struct sockaddr_in6 sa;
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    memset(&sa, 0, sizeof sa);
    sa.sin6_family = AF_INET6;
    sa.sin6_addr = in6addr_loopback;
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        SKIP("no IPv6 on the loopback device");
    if (listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        FAIL("cannot listen on ::1: %s", strerror(errno));
    *port = ntohs(sa.sin6_port);
    return fd;
}

/* ---- Addresses ---- */

TEST(connect, an_unresolvable_host_gives_the_resolvers_text, "88") {
    struct addrinfo hints, *res;
    redisContext *c;
    int rc;

    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET6; /* the second and last attempt */
    hints.ai_socktype = SOCK_STREAM;
    rc = getaddrinfo("no-such-host.invalid", "6379", &hints, &res);
    CHECK(rc != 0);

    alloc_count_begin();
    c = redisConnect("no-such-host.invalid", 6379);
    CHECK_ERROR(c, REDIS_ERR_OTHER, gai_strerror(rc));
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);

    c = redisConnectNonBlock("no-such-host.invalid", 6379);
    CHECK_ERROR(c, REDIS_ERR_OTHER, gai_strerror(rc));
    redisFree(c);
    alloc_count_end();
}

static int families[4], lookups;

static int note_family(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res) {
    (void)node, (void)service, (void)res;
    if (hints->ai_flags & AI_NUMERICHOST) /* asks nobody: is it a name at all? */
        return EAI_NONAME;
    if (lookups < 4)
        families[lookups] = hints->ai_family;
    CHECK_INT(hints->ai_socktype, SOCK_STREAM);
    lookups++;
    return lookups % 2 == 1 ? EAI_AGAIN : EAI_NONAME;
}

TEST(connect, a_failed_lookup_is_repeated_once_with_the_other_family, "") {
    redisContext *c;

    instead.getaddrinfo = note_family;
    c = redisConnect("example.invalid", 6379);
    instead.getaddrinfo = NULL;
    CHECK_ERROR(c, REDIS_ERR_OTHER, gai_strerror(EAI_NONAME));
    CHECK_INT(lookups, 2);
    CHECK_INT(families[0], AF_INET);
    CHECK_INT(families[1], AF_INET6);
    redisFree(c);
}

#if HIREDIS_MAJOR >= 1
TEST(connect, the_preferred_family_is_looked_up_first, "") {
    static const struct {
        int option, count, family[2];
    } want[] = {
        {0, 2, {AF_INET, AF_INET6}},
        {REDIS_OPT_PREFER_IPV4, 2, {AF_INET, AF_INET6}},
        {REDIS_OPT_PREFER_IPV6, 2, {AF_INET6, AF_INET}},
        {REDIS_OPT_PREFER_IP_UNSPEC, 1, {AF_UNSPEC, 0}},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        redisOptions o = {0};
        redisContext *c;

        REDIS_OPTIONS_SET_TCP(&o, "example.invalid", 6379);
        o.options = want[i].option;
        lookups = 0;
        instead.getaddrinfo = note_family;
        c = redisConnectWithOptions(&o);
        instead.getaddrinfo = NULL;
        CHECK(c != NULL);
        CHECK_INT(c->err, REDIS_ERR_OTHER);
        CHECK_INT(lookups, want[i].count);
        for (int k = 0; k < want[i].count; k++)
            CHECK_INT(families[k], want[i].family[k]);
        redisFree(c);
    }
}

static int no_lookup(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res) {
    if (!(hints->ai_flags & AI_NUMERICHOST))
        FAIL("%s goes to the resolver", node);
    return real_getaddrinfo(node, service, hints, res);
}

TEST(connect, a_numeric_host_never_goes_to_the_resolver, "102 243") {
    static const int prefer[] = {0, REDIS_OPT_PREFER_IPV4, REDIS_OPT_PREFER_IPV6, REDIS_OPT_PREFER_IP_UNSPEC};
    static const char *const host[] = {"127.0.0.1", "::1"};
    int port6, fd6 = listen_ipv6(&port6), port4, fd4 = hand_listen_tcp(&port4, 32);

    instead.getaddrinfo = no_lookup;
    for (int h = 0; h < 2; h++) {
        for (int p = 0; p < 4; p++) {
            for (int nonblock = 0; nonblock < 2; nonblock++) {
                redisOptions o = {0};
                redisContext *c;

                REDIS_OPTIONS_SET_TCP(&o, host[h], h == 0 ? port4 : port6);
                o.endpoint.tcp.source_addr = host[h];
                o.options = prefer[p] | (nonblock ? REDIS_OPT_NONBLOCK : 0);
                c = redisConnectWithOptions(&o);
                CHECK_NO_ERROR(c);
                close(hand_accept(h == 0 ? fd4 : fd6));
                redisFree(c);
            }
        }
    }
    instead.getaddrinfo = NULL;
    close(fd4);
    close(fd6);
}

TEST(connect, numeric_addresses_connect_whatever_family_is_preferred, "102") {
    static const int prefer[] = {0, REDIS_OPT_PREFER_IPV4, REDIS_OPT_PREFER_IPV6, REDIS_OPT_PREFER_IP_UNSPEC};
    int port6, fd6 = listen_ipv6(&port6);

    alloc_count_begin();
    for (int p = 0; p < 4; p++) {
        redisOptions o = {0};
        redisContext *c;

        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
        o.options = prefer[p];
        c = redisConnectWithOptions(&o);
        CHECK_NO_ERROR(c);
        CHECK_INT(c->saddr->sa_family, AF_INET);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);

        REDIS_OPTIONS_SET_TCP(&o, "::1", port6);
        c = redisConnectWithOptions(&o);
        CHECK_NO_ERROR(c);
        CHECK_INT(c->saddr->sa_family, AF_INET6);
        CHECK_UINT(c->addrlen, sizeof(struct sockaddr_in6));
        close(hand_accept(fd6));
        redisFree(c);
    }
    alloc_count_end();
    close(fd6);
}
#endif

TEST(connect, an_ipv6_literal_connects_with_the_default_options, "102") {
    int port, listener = listen_ipv6(&port), peer;
    redisContext *c = redisConnect("::1", port);

    CHECK_NO_ERROR(c);
    peer = hand_accept(listener);
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    hand_expect_str(peer, "*1\r\n$4\r\nPING\r\n");
    hand_expect_eof(peer);
    close(peer);
    close(listener);
}

TEST(connect, old_spellings_of_an_address_and_host_names_connect, "") {
    static const char *const host[] = {"127.1", "0x7f000001", "localhost"};

    for (int i = 0; i < 3; i++) {
        redisContext *c = redisConnect(host[i], live_port());
        CHECK_NO_ERROR(c);
        CHECK_STR(c->tcp.host, host[i]);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);
    }
}

TEST(connect, a_port_outside_0_to_65535_is_a_bad_service, "") {
    static const int port[] = {-1, INT_MIN, 65536, 655360, INT_MAX};
    static const char *const host[] = {"127.0.0.1", "localhost"};

    alloc_count_begin();
    for (int i = 0; i < 5; i++) {
        for (int h = 0; h < 2; h++) {
            redisContext *c = redisConnect(host[h], port[i]);
            CHECK_ERROR(c, REDIS_ERR_OTHER, gai_strerror(EAI_SERVICE));
            redisFree(c);
            c = redisConnectNonBlock(host[h], port[i]);
            CHECK_ERROR(c, REDIS_ERR_OTHER, gai_strerror(EAI_SERVICE));
            redisFree(c);
        }
    }
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1
TEST(connect, no_host_and_no_path_are_errors, "") {
    redisContext *c;

    alloc_count_begin();
    c = redisConnect(NULL, 6379);
    CHECK(c != NULL && c->err != 0);
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);
    c = redisConnectUnix(NULL);
    CHECK(c != NULL && c->err != 0);
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);
    CHECK(redisConnectWithOptions(NULL) == NULL);
    alloc_count_end();
}
#endif

/* ---- Refused, missing, not answering ---- */

TEST(connect, a_closed_port_refuses, "89") {
    int fd, port = hand_dead_port(&fd);
    redisContext *c;

    alloc_count_begin();
    c = redisConnect("127.0.0.1", port);
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);

    c = redisConnectWithTimeout("127.0.0.1", port, seconds(10));
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    redisFree(c);
    alloc_count_end();
    close(fd);
}

#if HIREDIS_MAJOR >= 1
TEST(connect, applying_the_command_timeout_does_not_hide_a_connect_error, "89") {
    int fd, port = hand_dead_port(&fd);
    struct timeval connect = seconds(5), good = seconds(2), bad = {0, 2000000};
    const struct timeval *command[] = {&good, &bad};

    for (int i = 0; i < 2; i++) {
        redisOptions o = {0};
        redisContext *c;

        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
        o.connect_timeout = &connect;
        o.command_timeout = command[i];
        c = redisConnectWithOptions(&o);
        CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
        redisFree(c);
    }
    close(fd);
}

TEST(connect, a_command_timeout_the_kernel_refuses_is_reported, "") {
    struct timeval bad = {0, 2000000};
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    o.command_timeout = &bad;
    c = redisConnectWithOptions(&o);
    CHECK_INT(errno, EDOM);
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(SO_RCVTIMEO): Numerical argument out of domain");
    CHECK(c->flags & REDIS_CONNECTED);
    redisFree(c);
}

TEST(connect, a_non_blocking_context_only_keeps_the_command_timeout, "") {
    struct timeval bad = {0, 2000000};
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    o.options = REDIS_OPT_NONBLOCK;
    o.command_timeout = &bad;
    c = redisConnectWithOptions(&o);
    CHECK_NO_ERROR(c);
    CHECK_INT(c->command_timeout->tv_usec, 2000000);
    redisFree(c);
}
#endif

TEST(connect, a_missing_unix_socket_is_an_io_error, "90") {
    redisContext *c;
    char *path = test_printf("%s/nobody-listens-here", test_tmp());

    alloc_count_begin();
    c = redisConnectUnix(path);
    CHECK_INT(errno, ENOENT);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);

    c = redisConnectUnixWithTimeout(path, seconds(3));
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    redisFree(c);

    c = redisConnectUnixNonBlock(path);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    redisFree(c);
    alloc_count_end();
}

TEST(connect, a_unix_socket_without_a_listener_refuses, "90") {
    char path[108];
    redisContext *c;

    close(hand_listen_unix(path, sizeof path, 1)); /* the file stays */
    c = redisConnectUnix(path);
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    redisFree(c);
    unlink(path);
}

TEST(connect, a_connect_timeout_ends_the_attempt, "93") {
    int port = hand_stuck_port();
    double start = test_now(), took;
    redisContext *c;

    alloc_count_begin();
    c = redisConnectWithTimeout("127.0.0.1", port, seconds(0.2));
    CHECK_INT(errno, ETIMEDOUT);
    took = test_now() - start;
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    CHECK(took > 0.15 && took < 10);
    redisFree(c);
    alloc_count_end();
}

TEST(connect, a_timeout_of_zero_means_at_once, "93") {
    int port = hand_stuck_port();
    double start = test_now();
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, seconds(0));

    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK(test_now() - start < 10);
    redisFree(c);
}

TEST(connect, signals_do_not_fail_a_connect, "94") {
    int port = hand_stuck_port(), count;
    double start = test_now();
    redisContext *c;

    alarms(10);
    c = redisConnectWithTimeout("127.0.0.1", port, seconds(0.4));
    count = alarms(0);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK(count > 2);
    CHECK(test_now() - start < 10);
    redisFree(c);
}

static int polls, poll_ms[8];

static int interrupted_poll(struct pollfd *fds, nfds_t n, int ms) {
    (void)fds, (void)n;
    if (polls < 8)
        poll_ms[polls] = ms;
    if (++polls < 4) {
        test_sleep_ms(30);
        errno = EINTR;
        return -1;
    }
    return 0;
}

TEST(connect, an_interrupted_wait_goes_on_with_the_time_that_is_left, "94") {
    int port = hand_stuck_port();
    redisContext *c;

    instead.poll = interrupted_poll;
    c = redisConnectWithTimeout("127.0.0.1", port, seconds(60));
    instead.poll = NULL;
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK_INT(polls, 4);
    CHECK(poll_ms[0] <= 60000 && poll_ms[0] > 40000);
    for (int i = 1; i < 4; i++)
        CHECK(poll_ms[i] <= poll_ms[i - 1] - 29);
    redisFree(c);
}

#if HIREDIS_MAJOR >= 1
static redisContext *cut_off;

static void close_under_the_call(int sig) {
    (void)sig;
    close(cut_off->fd);
    cut_off->fd = -1;
}

TEST(connect, a_signal_handler_may_close_the_descriptor_under_a_blocked_connect, "94") {
    struct itimerval often = {{0, 100000}, {0, 100000}}, never = {{0, 0}, {0, 0}};
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = close_under_the_call;
    sigaction(SIGALRM, &sa, NULL);
    alloc_count_begin();
    cut_off = redisConnectNonBlock("127.0.0.1", hand_stuck_port());
    CHECK_NO_ERROR(cut_off);
    cut_off->flags |= REDIS_BLOCK;
    setitimer(ITIMER_REAL, &often, NULL);
    CHECK_INT(redisReconnect(cut_off), REDIS_ERR);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK_ERROR(cut_off, REDIS_ERR_IO, "Bad file descriptor");
    CHECK_INT(cut_off->fd, -1);
    redisFree(cut_off);
    alloc_count_end();
}
#endif

static int failing_poll(struct pollfd *fds, nfds_t n, int ms) {
    (void)fds, (void)n, (void)ms;
    errno = ENOMEM;
    return -1;
}

TEST(connect, a_failing_poll_is_an_io_error, "") {
    int port = hand_stuck_port();
    redisContext *c;

    instead.poll = failing_poll;
    c = redisConnectWithTimeout("127.0.0.1", port, seconds(5));
    CHECK_INT(errno, ENOMEM);
    instead.poll = NULL;
    CHECK_ERROR(c, REDIS_ERR_IO, "poll(2): Cannot allocate memory");
    redisFree(c);
}

/* ---- Timeouts that make no sense ---- */

TEST(connect, an_invalid_timeout_is_refused, "91") {
    static const struct timeval bad[] = {
        {1, 10000001}, {1, 1000001}, {(LONG_MAX - 999) / 1000 + 1, 0}, {LONG_MAX, 0}
    };

    alloc_count_begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        redisContext *c = redisConnectWithTimeout("127.0.0.1", live_port(), bad[i]);
        CHECK_ERROR(c, REDIS_ERR_IO, "Invalid timeout specified");
        redisFree(c);
        c = redisConnectUnixWithTimeout(live_unix(), bad[i]);
        CHECK_ERROR(c, REDIS_ERR_IO, "Invalid timeout specified");
        redisFree(c);
#if HIREDIS_MAJOR >= 1
        for (int type = REDIS_CONN_TCP; type <= REDIS_CONN_UNIX; type++) {
            redisOptions o = {0};
            if (type == REDIS_CONN_TCP)
                REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
            else
                REDIS_OPTIONS_SET_UNIX(&o, live_unix());
            o.options = REDIS_OPT_NONBLOCK;
            o.connect_timeout = &bad[i];
            c = redisConnectWithOptions(&o);
            CHECK_ERROR(c, REDIS_ERR_IO, "Invalid timeout specified");
            redisFree(c);
        }
#endif
    }
    alloc_count_end();
}

TEST(connect, a_million_microseconds_and_odd_timeouts_are_accepted, "92") {
    static const struct timeval good[] = {
        {0, 1000000}, {(LONG_MAX - 999) / 1000, 0}, {-1, 0}, {0, -5}, {1, 1}
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        redisContext *c = redisConnectWithTimeout("127.0.0.1", live_port(), good[i]);
        CHECK_NO_ERROR(c);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);
        c = redisConnectUnixWithTimeout(live_unix(), good[i]);
        CHECK_NO_ERROR(c);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);
    }
}

/* ---- Several addresses ---- */

static struct addrinfo hosts[8];
static struct sockaddr_in host_addr[8];

/* Names resolve to these ports of 127.0.0.1. */
static void resolve_to(const int *port, size_t n) {
    memset(hosts, 0, sizeof hosts);
    for (size_t i = 0; i < n; i++) {
        host_addr[i].sin_family = AF_INET;
        host_addr[i].sin_port = htons((unsigned short)port[i]);
        host_addr[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        hosts[i].ai_family = AF_INET;
        hosts[i].ai_socktype = SOCK_STREAM;
        hosts[i].ai_protocol = IPPROTO_TCP;
        hosts[i].ai_addr = (struct sockaddr *)&host_addr[i];
        hosts[i].ai_addrlen = sizeof host_addr[i];
        hosts[i].ai_next = i + 1 < n ? &hosts[i + 1] : NULL;
    }
}

static int list_hosts(const char *node, const char *service, const struct addrinfo *hints,
                      struct addrinfo **res) {
    (void)node, (void)service, (void)hints;
    *res = hosts;
    return 0;
}

static void keep_hosts(struct addrinfo *res) {
    CHECK(res == hosts);
}

static redisContext *connect_to_hosts(const int *port, size_t n, const struct timeval *timeout) {
    redisContext *c;

    resolve_to(port, n);
    instead.getaddrinfo = list_hosts;
    instead.freeaddrinfo = keep_hosts;
    if (timeout != NULL)
        c = redisConnectWithTimeout("several.example", 1, *timeout);
    else
        c = redisConnect("several.example", 1);
    instead.getaddrinfo = NULL;
    instead.freeaddrinfo = NULL;
    return c;
}

TEST(connect, the_next_address_is_tried_when_one_refuses, "103 238") {
    int fd, dead = hand_dead_port(&fd), port[] = {dead, dead, live_port()};
    struct timeval timeout = seconds(20);
    redisContext *c;

    alloc_count_begin();
    c = connect_to_hosts(port, 3, NULL);
    CHECK_NO_ERROR(c);
    CHECK(c->flags & REDIS_CONNECTED);
    CHECK(!is_nonblocking(c->fd));
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);

    c = connect_to_hosts(port, 3, &timeout);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
    close(fd);
}

TEST(connect, when_every_address_refuses_the_error_is_that_of_one, "103") {
    int fd, dead = hand_dead_port(&fd), port[] = {dead, dead, dead}, before, after;
    redisContext *c;

    before = dup(0);
    close(before);
    c = connect_to_hosts(port, 3, NULL);
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    redisFree(c);
    after = dup(0);
    CHECK_INT(after, before); /* no descriptor is left */
    close(after);
    close(fd);
}

TEST(connect, all_addresses_share_one_deadline, "103 238") {
    int stuck = hand_stuck_port(), port[] = {stuck, stuck, stuck, stuck, stuck, stuck, stuck, stuck};
    struct timeval timeout = seconds(1);
    double start = test_now();
    redisContext *c = connect_to_hosts(port, 8, &timeout);

    CHECK_INT(errno, ETIMEDOUT);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK(test_now() - start < 5);
    redisFree(c);
}

static int connects;

static int unreachable_at_first(int fd, const struct sockaddr *to, socklen_t len) {
    if (connects++ == 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    return real_connect(fd, to, len);
}

TEST(connect, the_next_address_is_tried_when_one_is_unreachable, "103 238") {
    int port[] = {live_port(), live_port()};
    redisContext *c;

    instead.connect = unreachable_at_first;
    c = connect_to_hosts(port, 2, NULL);
    instead.connect = NULL;
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
}

static int unreachable(int fd, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)to, (void)len;
    connects++;
    errno = EHOSTUNREACH;
    return -1;
}

TEST(connect, an_unreachable_host_is_an_error_with_its_reason, "") {
    redisContext *c;

    instead.connect = unreachable;
    c = redisConnect("127.0.0.1", 6379);
    CHECK_INT(errno, EHOSTUNREACH);
    instead.connect = NULL;
    CHECK(c != NULL && c->err != 0);
    CHECK(strstr(c->errstr, "No route to host") != NULL);
    CHECK_INT(c->flags & REDIS_CONNECTED, 0);
    redisFree(c);
}

TEST(connect, without_descriptors_no_socket_is_made, "") {
    struct rlimit before, none;
    redisContext *c;
    int first = dup(0);

    close(first);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)first;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    alloc_count_begin();
    c = redisConnect("127.0.0.1", 6379);
    CHECK_INT(errno, EMFILE);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Can't create socket: Too many open files");
    redisFree(c);
    c = redisConnectUnix("/tmp/x");
    CHECK_INT(errno, EMFILE);
    CHECK_ERROR(c, REDIS_ERR_IO, "Too many open files");
    redisFree(c);
    alloc_count_end();
    setrlimit(RLIMIT_NOFILE, &before);
}

/* ---- The functions behind, which old programs call ---- */

TEST(connect, a_context_can_be_connected_by_the_functions_behind, "") {
    redisContext *c;
    struct timeval tv = seconds(5);

    alloc_count_begin();
    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectTcp(c, "127.0.0.1", live_port(), &tv), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(c->tcp.host, "127.0.0.1");
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectTcp(c, "127.0.0.1", live_port(), NULL), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectBindTcp(c, "127.0.0.1", live_port(), NULL, "127.0.0.1"), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(c->tcp.source_addr, "127.0.0.1");
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectUnix(c, live_unix(), &tv), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(c->unix_sock.path, live_unix());
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectUnix(c, "/nowhere/at/all", NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "No such file or directory");
    redisFree(c);
    alloc_count_end();
}

TEST(connect, what_a_context_has_stored_may_be_given_to_it_again, "") {
    struct timeval tv = seconds(5);
    redisContext *c;

    alloc_count_begin();
    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectBindTcp(c, "127.0.0.1", live_port(), &tv, "127.0.0.1"), REDIS_OK);
    close(c->fd);
    CHECK_INT(redisContextConnectBindTcp(c, c->tcp.host, c->tcp.port, &tv, c->tcp.source_addr), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(c->tcp.host, "127.0.0.1");
    CHECK_STR(c->tcp.source_addr, "127.0.0.1");
    close(c->fd);
    /* what is not given is forgotten */
    CHECK_INT(redisContextConnectTcp(c, c->tcp.host, c->tcp.port, NULL), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK(c->tcp.source_addr == NULL);
#if HIREDIS_MAJOR >= 1
    CHECK(c->connect_timeout == NULL);
#endif
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisContextConnectUnix(c, live_unix(), &tv), REDIS_OK);
    close(c->fd);
    CHECK_INT(redisContextConnectUnix(c, c->unix_sock.path, &tv), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(c->unix_sock.path, live_unix());
    redisFree(c);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1
static void wait_writable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    CHECK_INT(poll(&p, 1, 10000), 1);
}

TEST(connect, check_connect_done_tells_how_far_a_connect_is, "") {
    int fd, dead = hand_dead_port(&fd), done = -1;
    redisContext *c;

    c = redisConnectNonBlock("127.0.0.1", live_port());
    wait_writable(c->fd);
    CHECK_INT(redisCheckConnectDone(c, &done), REDIS_OK);
    CHECK_INT(done, 1);
    errno = 0; /* it counts when the socket has no error of its own */
    CHECK_INT(redisCheckSocketError(c), REDIS_OK);
    CHECK_NO_ERROR(c);
    redisFree(c);

    c = redisConnectNonBlock("127.0.0.1", hand_stuck_port());
    CHECK_INT(redisCheckConnectDone(c, &done), REDIS_OK);
    CHECK_INT(done, 0);
    CHECK_NO_ERROR(c);
    redisFree(c);

    c = redisConnectNonBlock("127.0.0.1", dead);
    if (c->err == 0) {
        wait_writable(c->fd);
        CHECK_INT(redisCheckConnectDone(c, &done), REDIS_ERR);
        CHECK_INT(done, 0);
    } else {
        CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    }
    redisFree(c);
    close(fd);
}

TEST(connect, check_socket_error_reports_a_refusal, "") {
    int fd, dead = hand_dead_port(&fd);
    redisContext *c = redisConnectNonBlock("127.0.0.1", dead);

    if (c->err == 0) {
        wait_writable(c->fd);
        CHECK_INT(redisCheckSocketError(c), REDIS_ERR);
    }
    CHECK_INT(errno, ECONNREFUSED);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection refused");
    redisFree(c);

    c = redisConnectFd(-1);
    CHECK_INT(redisCheckSocketError(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "getsockopt(SO_ERROR): Bad file descriptor");
    redisFree(c);
    close(fd);
}
#endif
