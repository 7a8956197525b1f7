/* Asynchronous contexts: creation, hooks, connecting. */
#include "async.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/sds.h>

/* ---- Making a context ---- */

TEST(async_connect, a_new_context_is_empty_and_mirrors_the_error_field, "") {
    conn c;
    conn_zero(&c);
    c.listener = -1;
    redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
    CHECK(ac != NULL);
    CHECK_INT(ac->err, 0);
    CHECK_STR(ac->errstr, "");
    CHECK(ac->errstr == ac->c.errstr);
    CHECK(ac->data == NULL);
    CHECK(ac->ev.data == NULL);
    CHECK(ac->ev.addRead == NULL);
    CHECK(ac->ev.delRead == NULL);
    CHECK(ac->ev.addWrite == NULL);
    CHECK(ac->ev.delWrite == NULL);
    CHECK(ac->ev.cleanup == NULL);
    CHECK(ac->onConnect == NULL);
    CHECK(ac->onDisconnect == NULL);
    CHECK_INT(list_length(&ac->replies), 0);
    CHECK_INT(list_length(sub_replies(ac)), 0);
    CHECK(ac->sub.channels != NULL);
    CHECK(ac->sub.patterns != NULL);
    CHECK_INT(ac->c.flags & (REDIS_BLOCK | REDIS_CONNECTED | REDIS_SUBSCRIBED | REDIS_MONITORING), 0);
    CHECK(ac->c.fd >= 0);
    CHECK(fcntl(ac->c.fd, F_GETFL) & O_NONBLOCK);
    CHECK_UINT(sdslen(ac->c.obuf), 0);
#if HIREDIS_MAJOR >= 1
    CHECK(ac->dataCleanup == NULL);
    CHECK(ac->ev.scheduleTimer == NULL);
    CHECK(ac->onConnectNC == NULL);
    CHECK(ac->push_cb == NULL);
    CHECK(ac->saddr == NULL);
    CHECK_UINT(ac->addrlen, 0);
    CHECK_INT(ac->sub.pending_unsubs, 0);
#endif
    conn_adopt(&c, ac);
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
static void ignore_push(void *privdata, void *reply) {
    (void)privdata;
    freeReplyObject(reply);
}

static void ignore_async_push(redisAsyncContext *ac, void *reply) {
    (void)ac;
    (void)reply;
}

TEST(async_connect, async_contexts_have_no_sync_push_callback_and_store_the_async_one, "136") {
    redisOptions o = {0};
    alloc_count_begin();
    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&o);
    CHECK(ac->c.push_cb == NULL);
    CHECK(ac->push_cb == NULL);
    redisAsyncFree(ac);

    o.push_cb = ignore_push;
    o.async_push_cb = ignore_async_push;
    ac = redisAsyncConnectWithOptions(&o);
    CHECK(ac->c.push_cb == NULL);
    CHECK(ac->push_cb == ignore_async_push);
    CHECK(redisAsyncSetPushCallback(ac, NULL) == ignore_async_push);
    CHECK(ac->push_cb == NULL);
    CHECK(redisAsyncSetPushCallback(ac, ignore_async_push) == NULL);
    CHECK(ac->push_cb == ignore_async_push);
    redisAsyncFree(ac);
    alloc_count_end();
}

TEST(async_connect, options_become_flags_and_block_is_never_set, "") {
    struct timeval connect_tv = {7, 1}, command_tv = {8, 2};
    redisOptions o = {0};
    alloc_count_begin();
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
    o.options = REDIS_OPT_NOAUTOFREE | REDIS_OPT_NOAUTOFREEREPLIES;
    o.connect_timeout = &connect_tv;
    o.command_timeout = &command_tv;
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&o);
    memset(&connect_tv, 0, sizeof(connect_tv));
    memset(&command_tv, 0, sizeof(command_tv));
    CHECK_INT(ac->err, 0);
    CHECK_INT(ac->c.flags & REDIS_BLOCK, 0);
    CHECK(ac->c.flags & REDIS_NO_AUTO_FREE);
    CHECK(ac->c.flags & REDIS_NO_AUTO_FREE_REPLIES);
    CHECK_INT(ac->c.connection_type, REDIS_CONN_TCP);
    CHECK_STR(ac->c.tcp.host, "127.0.0.1");
    CHECK_INT(ac->c.tcp.port, live_port());
    CHECK_INT(ac->c.connect_timeout->tv_sec, 7);
    CHECK_INT(ac->c.command_timeout->tv_usec, 2);
    redisAsyncFree(ac);
    alloc_count_end();
}

static int privdata_freed;

static void count_privdata(void *privdata) {
    CHECK(privdata == &privdata_freed);
    privdata_freed++;
}

TEST(async_connect, a_bad_type_gives_null_and_releases_privdata_once, "") {
    redisOptions o = {0};
    alloc_count_begin();
    privdata_freed = 0;
    o.type = 77;
    REDIS_OPTIONS_SET_PRIVDATA(&o, &privdata_freed, count_privdata);
    CHECK(redisAsyncConnectWithOptions(&o) == NULL);
    CHECK_INT(privdata_freed, 1);
    alloc_count_end();
}

TEST(async_connect, async_set_timeout_stores_and_zero_disables, "") {
    struct timeval tv = {3, 500};
    conn c;
    conn_up(&c);
    c.hooks = 1;
    CHECK(c.ac->c.command_timeout == NULL);
    CHECK_INT(redisAsyncSetTimeout(c.ac, tv), REDIS_OK);
    CHECK_LOG("");                       /* the timer is armed by the next addRead or addWrite */
    CHECK_INT(c.ac->c.command_timeout->tv_sec, 3);
    CHECK_INT(c.ac->c.command_timeout->tv_usec, 500);
    ask(&c, "a", "PING");
    CHECK_LOG("T addWrite");
    CHECK(c.timer.tv_sec <= 3);
    tv.tv_sec = 9;
    CHECK_INT(redisAsyncSetTimeout(c.ac, tv), REDIS_OK);
    CHECK_INT(c.ac->c.command_timeout->tv_sec, 9);
    memset(&tv, 0, sizeof(tv));
    CHECK_INT(redisAsyncSetTimeout(c.ac, tv), REDIS_OK);
    ask(&c, "b", "PING");
    CHECK_LOG("addWrite");
    conn_done(&c);
}

TEST(async_connect, async_set_timeout_reports_lack_of_memory, "") {
    struct timeval tv = {3, 0};
    conn c;
    conn_up(&c);
    alloc_fail_at(1);
    CHECK_INT(redisAsyncSetTimeout(c.ac, tv), REDIS_ERR);
    CHECK_INT(c.ac->err, REDIS_ERR_OOM);
    CHECK_STR(c.ac->errstr, "Out of memory");
    conn_done(&c);
}
#endif

TEST(async_connect, the_source_address_can_be_chosen, "") {
    conn c;
    conn_zero(&c);
    conn_adopt(&c, redisAsyncConnectBind("127.0.0.1", live_port(), "127.0.0.1"));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "connect=0 ping:+PONG");
    conn_done(&c);
    conn_zero(&c);
    conn_adopt(&c, redisAsyncConnectBindWithReuse("127.0.0.1", live_port(), "127.0.0.1"));
    CHECK(c.ac->c.flags & REDIS_REUSEADDR);
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "connect=0 ping:+PONG");
    conn_done(&c);
}

TEST(async_connect, free_of_null_does_nothing, "149") {
    redisAsyncFree(NULL);
}

/* ---- The connect callback ---- */

static void ping_over(conn *c, redisAsyncContext *ac) {
    conn_adopt(c, ac);
    CHECK_INT(c->ac->err, 0);
    PUMP_LOG(c, "connect=0");
    ask(c, "ping", "PING");
    PUMP_LOG(c, "ping:+PONG");
    CHECK_INT(c->connects, 1);
    conn_done(c);
    CHECK_LOG("disconnect=0");
    CHECK_INT(c->connects, 1);
}

TEST(async_connect, connect_callback_is_called_once_with_ok_on_a_unix_socket, "137") {
    conn c;
    conn_zero(&c);
    ping_over(&c, redisAsyncConnectUnix(live_unix()));
}

TEST(async_connect, connect_callback_is_called_once_with_ok_on_tcp, "137") {
    conn c;
    conn_zero(&c);
    ping_over(&c, redisAsyncConnect("127.0.0.1", live_port()));
}

#if HIREDIS_MAJOR >= 1
static void nodelay_is_set(conn *c, int status) {
    int on = 0;
    socklen_t len = sizeof(on);
    CHECK_INT(status, REDIS_OK);
    CHECK_INT(getsockopt(c->ac->c.fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    CHECK_INT(on, 1);
}

TEST(async_connect, tcp_connections_do_not_delay_small_packets, "") {
    conn c;
    conn_zero(&c);
    c.on_connect = nodelay_is_set;
    conn_adopt(&c, redisAsyncConnect("127.0.0.1", live_port()));
    PUMP_LOG(&c, "connect=0");
    conn_done(&c);
}

static void connected_nc(redisAsyncContext *ac, int status) {
    conn *c = ac->data;
    CHECK(ac->c.flags & REDIS_IN_CALLBACK);
    c->connects++;
    note("nc=%d", status);
}

TEST(async_connect, the_variant_with_a_context_to_write_to_is_called_instead, "137") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    c.ac->data = &c;
    conn_hooks(&c);
    CHECK_INT(redisAsyncSetConnectCallbackNC(c.ac, connected_nc), REDIS_OK);
    CHECK(c.ac->onConnectNC == connected_nc);
    CHECK(c.writing);
    redisAsyncHandleWrite(c.ac);
    CHECK_LOG("nc=0");
    redisAsyncHandleWrite(c.ac);
    CHECK_LOG("");
    redisAsyncFree(c.ac);
    c.ac = NULL;
    c.datas = c.privdatas = 1;  /* none was registered */
    conn_done(&c);
}

static void never_connected(const redisAsyncContext *ac, int status) {
    (void)ac;
    (void)status;
    FAIL("a callback that was refused is called");
}

TEST(async_connect, only_one_connect_callback_can_be_set, "146") {
    conn c;
    conn_zero(&c);
    conn_open(&c);              /* sets both */
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, never_connected), REDIS_ERR);
    CHECK_INT(redisAsyncSetConnectCallbackNC(c.ac, connected_nc), REDIS_ERR);
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, never_connected), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    flush(&c);
    CHECK_LOG("connect=0");
    conn_done(&c);
    CHECK_LOG("disconnect=0");

    conn_zero(&c);
    redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
    CHECK_INT(redisAsyncSetConnectCallbackNC(ac, connected_nc), REDIS_OK);
    CHECK_INT(redisAsyncSetConnectCallback(ac, never_connected), REDIS_ERR);
    CHECK_INT(redisAsyncSetConnectCallbackNC(ac, connected_nc), REDIS_ERR);
    redisAsyncFree(ac);
    c.datas = c.privdatas = 1;
    conn_done(&c);
}

TEST(async_connect, null_callbacks_are_accepted_and_stay_unset, "146") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    conn_hooks(&c);
    c.hooks = 1;
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, NULL), REDIS_OK);
    CHECK_LOG("addWrite");
    CHECK_INT(redisAsyncSetConnectCallbackNC(c.ac, NULL), REDIS_OK);
    CHECK_LOG("addWrite");
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, NULL), REDIS_OK);
    CHECK(c.ac->onConnect == NULL);
    CHECK(c.ac->onConnectNC == NULL);
    CHECK(c.ac->onDisconnect == NULL);
    log_take();
    redisAsyncHandleWrite(c.ac);
    CHECK_LOG("delWrite addRead");
    CHECK(c.ac->c.flags & REDIS_CONNECTED);
    redisAsyncFree(c.ac);
    c.ac = NULL;
    CHECK_LOG("cleanup");
    c.datas = c.privdatas = 1;
    conn_done(&c);
}
#endif

static void connected_once(const redisAsyncContext *ac, int status) {
    conn *c = ac->data;
    c->connects++;
    note("first=%d", status);
}

static void connected_twice(const redisAsyncContext *ac, int status) {
    (void)ac;
    note("second=%d", status);
}

TEST(async_connect, a_second_callback_of_a_kind_is_refused, "146") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    c.ac->data = &c;
    conn_hooks(&c);
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, connected_once), REDIS_OK);
    CHECK_INT(redisAsyncSetConnectCallback(c.ac, connected_twice), REDIS_ERR);
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, connected_once), REDIS_OK);
    CHECK_INT(redisAsyncSetDisconnectCallback(c.ac, connected_twice), REDIS_ERR);
    redisAsyncHandleWrite(c.ac);
    CHECK_LOG("first=0");
    redisAsyncFree(c.ac);
    CHECK_LOG("first=0");
    c.ac = NULL;
    c.connects = c.datas = c.privdatas = 1;
    conn_done(&c);
}

TEST(async_connect, setting_the_connect_callback_asks_for_write_events, "147") {
    conn c;
    conn_zero(&c);
    c.hooks = 1;
    conn_open(&c);
    CHECK_LOG("addWrite");
    CHECK(c.writing);
    CHECK(!c.reading);
    conn_done(&c);
}

TEST(async_connect, a_read_event_first_also_completes_the_connect, "148") {
    conn c;
    conn_zero(&c);
    conn_open(&c);
    c.hooks = 1;
    log_take();
    redisAsyncHandleRead(c.ac);
    CHECK_LOG("connect=0 addRead");
    CHECK(c.ac->c.flags & REDIS_CONNECTED);
    ask(&c, "a", "PING");
    CHECK_LOG("addWrite");
    flush(&c);
    CHECK_LOG("delWrite addRead");
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("addRead a:+PONG");
    conn_done(&c);
}

TEST(async_connect, data_that_is_there_already_is_read_in_the_connecting_read_event, "148") {
    conn c;
    conn_zero(&c);
    conn_open(&c);
    ask(&c, "a", "PING");
    CHECK_LOG("");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("connect=0 a:+PONG");
    conn_done(&c);
}

TEST(async_connect, without_a_connect_callback_the_connection_works, "") {
    char path[108];
    conn c;
    conn_zero(&c);
    c.listener = hand_listen_unix(path, sizeof(path), 8);
    c.ac = redisAsyncConnectUnix(path);
    c.ac->data = &c;
    conn_hooks(&c);
    c.server = hand_accept(c.listener);
    ask(&c, "a", "PING");
    CHECK(c.writing);
    flush(&c);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    redisAsyncFree(c.ac);
    c.ac = NULL;
    c.datas = c.privdatas = 1;
    conn_done(&c);
}

static void ask_when_connected(conn *c, int status) {
    if (status == REDIS_OK) ask(c, "in", "GET in");
}

TEST(async_connect, commands_from_before_and_inside_the_connect_callback_go_out_in_that_write_event, "") {
    conn c;
    conn_zero(&c);
    c.on_connect = ask_when_connected;
    conn_open(&c);
    ask(&c, "early", "GET early");
    CHECK_STR(sent(&c), "");
    flush(&c);
    CHECK_LOG("connect=0");
    CHECK_STR(sent(&c), "*2\r\n$3\r\nGET\r\n$5\r\nearly\r\n*2\r\n$3\r\nGET\r\n$2\r\nin\r\n");
    serve(&c, "$1\r\ne\r\n$1\r\ni\r\n");
    CHECK_LOG("early:\"e\" in:\"i\"");
    conn_done(&c);
}

static void free_now(conn *c, const char *name, redisReply *reply) {
    (void)reply;
    if (c->trigger == NULL || strcmp(c->trigger, name) == 0) redisAsyncFree(c->ac);
}

static void free_when_connected(conn *c, int status) {
    (void)status;
    redisAsyncFree(c->ac);
}

static void disconnect_when_connected(conn *c, int status) {
    (void)status;
    redisAsyncDisconnect(c->ac);
}

TEST(async_connect, a_command_from_the_connect_callback_and_a_free_in_its_reply, "143") {
    conn c;
    conn_zero(&c);
    c.on_connect = ask_when_connected;
    c.on_reply = free_now;
    conn_live_loose(&c);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=0 in:nil disconnect=0");
    conn_done(&c);
}

TEST(async_connect, a_free_in_a_reply_callback_ends_the_context, "140") {
    conn c;
    conn_live(&c, 2);
    c.on_reply = free_now;
    ask(&c, "ping", "PING");
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("ping:+PONG disconnect=0");
    conn_done(&c);
}

TEST_1X(async_connect, a_free_after_connecting_reports_one_clean_disconnect, "138") {
    conn c;
    conn_live(&c, 2);
    c.ends = 1;
    redisAsyncFree(c.ac);
    CHECK_LOG("cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_connect, a_disconnect_inside_the_connect_callback_ends_the_context_once, "142") {
    conn c;
    conn_zero(&c);
    c.on_connect = disconnect_when_connected;
    c.ends = 1;
    conn_live_loose(&c);
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=0 cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_connect, a_disconnect_inside_the_connect_callback_waits_for_earlier_commands, "142") {
    conn c;
    conn_zero(&c);
    c.on_connect = disconnect_when_connected;
    c.ends = 1;
    conn_open(&c);
    ask(&c, "early", "PING");
    flush(&c);
    CHECK_LOG("connect=0");
    CHECK_INT(ask_try(&c, "late", "PING"), REDIS_ERR);
    if (c.writing) flush(&c);
    CHECK_STR(sent(&c), "*1\r\n$4\r\nPING\r\n");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("early:+PONG cleanup disconnect=0 data privdata");
    conn_done(&c);
}

TEST_1X(async_connect, a_free_inside_the_connect_callback_ends_the_context, "142") {
    conn c;
    conn_zero(&c);
    c.on_connect = free_when_connected;
    c.ends = 1;
    conn_open(&c);
    ask(&c, "early", "PING");
    flush(&c);
    CHECK_LOG("connect=0 early:NULL cleanup disconnect=0 data privdata");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

static void disconnect_and_free_when_connected(conn *c, int status) {
    (void)status;
    redisAsyncDisconnect(c->ac);
    redisAsyncFree(c->ac);
}

TEST_1X(async_connect, of_disconnect_and_free_inside_the_connect_callback_free_wins, "") {
    conn c;
    conn_zero(&c);
    c.on_connect = disconnect_and_free_when_connected;
    c.ends = 1;
    conn_open(&c);
    ask(&c, "early", "PING");
    flush(&c);
    CHECK_LOG("connect=0 early:NULL cleanup disconnect=0 data privdata");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

/* ---- Connecting that fails ---- */

static void connect_refused(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_IO);
    CHECK_STR(c->ac->errstr, "Connection refused");
    c->count++;
}

static void refused(conn *c, int *dead) {
    conn_zero(c);
    c->on_connect = connect_refused;
    conn_adopt(c, redisAsyncConnect("127.0.0.1", hand_dead_port(dead)));
    CHECK_INT(c->ac->err, 0);
}

TEST_1X(async_connect, a_refused_connection_fails_pending_commands_without_a_disconnect, "144") {
    conn c;
    int dead;
    refused(&c, &dead);
    c.ends = 1;
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    PUMP(&c, c.ac == NULL);
    CHECK_INT(c.count, 1);
    CHECK_LOG("connect=-1 cleanup a:NULL b:NULL data privdata");
    conn_done(&c);
    close(dead);
}

static void refuse_commands(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(ask_try(c, "late", "PING"), REDIS_ERR);
}

TEST(async_connect, commands_inside_a_failed_connect_callback_are_refused, "") {
    conn c;
    int dead;
    refused(&c, &dead);
    c.on_connect = refuse_commands;
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=-1");
    conn_done(&c);
    close(dead);
}

static void free_when_failed(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    redisAsyncFree(c->ac);
    redisAsyncDisconnect(c->ac);
    redisAsyncFree(c->ac);
}

TEST_1X(async_connect, free_and_disconnect_inside_a_failed_connect_callback_are_harmless, "") {
    conn c;
    int dead;
    refused(&c, &dead);
    c.on_connect = free_when_failed;
    ask(&c, "a", "GET a");
    PUMP(&c, c.ac == NULL);
    CHECK_LOG("connect=-1 a:NULL");
    conn_done(&c);
    close(dead);
}

TEST(async_connect, an_error_known_at_once_is_reported_on_the_context_and_calls_nothing, "145") {
    conn c;
    conn_zero(&c);
    c.ends = 1;
    conn_adopt(&c, redisAsyncConnectUnix(test_printf("%s/no.such.socket", test_tmp())));
    CHECK_INT(c.ac->err, REDIS_ERR_IO);
    CHECK_STR(c.ac->errstr, "No such file or directory");
    CHECK_INT(c.ac->c.err, REDIS_ERR_IO);
    CHECK_LOG("");
    redisAsyncFree(c.ac);
#if HIREDIS_MAJOR >= 1
    CHECK_LOG("cleanup data privdata");
#endif
    conn_done(&c);
}

TEST(async_connect, a_name_that_cannot_be_resolved_is_reported_on_the_context, "145") {
    conn c;
    conn_zero(&c);
    /* Too long for a label of the DNS, so nobody is asked. */
    char host[80];
    memset(host, 'a', 70);
    strcpy(host + 70, ".test");
    conn_adopt(&c, redisAsyncConnect(host, 6379));
    CHECK_INT(c.ac->err, REDIS_ERR_OTHER);
    CHECK(c.ac->errstr[0] != '\0');
    CHECK_LOG("");
    redisAsyncFree(c.ac);
    CHECK_LOG("");
    conn_done(&c);
}

#if HIREDIS_MAJOR >= 1
TEST(async_connect, an_invalid_timeout_is_reported_on_the_context, "145") {
    struct timeval tv = {1, 1000001};
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.connect_timeout = &tv;
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    CHECK_INT(c.ac->err, REDIS_ERR_IO);
    CHECK_STR(c.ac->errstr, "Invalid timeout specified");
    conn_done(&c);
    CHECK_LOG("");
}

static void connect_timed_out(conn *c, int status) {
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(c->ac->err, REDIS_ERR_TIMEOUT);
    CHECK_STR(c->ac->errstr, "Timeout");
    c->count++;
}

/* A port that answers nothing: the queue of its listening socket is full. */
static int silent_port(int *listener, int *filler, int *fillers) {
    struct sockaddr_in sa;
    int port;
    *listener = hand_listen_tcp(&port, 0);
    memset(&sa, 0, sizeof(sa));
    sa.sin_family = AF_INET;
    sa.sin_port = htons((unsigned short)port);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (*fillers = 0; *fillers < 8; (*fillers)++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
        socklen_t len = sizeof(error);
        filler[*fillers] = fd;
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) continue;
        test_sleep_ms(50);
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 && errno == EALREADY) {
            (*fillers)++;
            return port;
        }
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    SKIP("this system accepts connections beyond a backlog of 0");
}

TEST(async_connect, a_connect_that_takes_too_long_fails_with_a_timeout, "139") {
    struct timeval tv = {0, 150000};
    int listener, filler[8], fillers, port = silent_port(&listener, filler, &fillers);
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.connect_timeout = &tv;
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    c.on_connect = connect_timed_out;
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    CHECK_INT(c.ac->err, 0);
    c.ends = 1;
    ask(&c, "a", "GET a");
    double start = test_now();
    PUMP(&c, c.ac == NULL);
    CHECK(test_now() - start >= 0.1);
    CHECK_INT(c.count, 1);
    CHECK_LOG_EITHER("connect=-1 a:NULL cleanup data privdata", "connect=-1 cleanup a:NULL data privdata");
    conn_done(&c);
    while (fillers > 0) close(filler[--fillers]);
    close(listener);
}

int redisContextUpdateConnectTimeout(redisContext *c, const struct timeval *timeout);

TEST(async_connect, a_connect_timeout_set_later_counts_from_the_creation, "139") {
    struct timeval tv = {30, 0}, little = {0, 100000};
    int listener, filler[8], fillers, port = silent_port(&listener, filler, &fillers);
    conn c;
    conn_zero(&c);
    redisAsyncContext *ac = redisAsyncConnect("127.0.0.1", port);
    CHECK(ac != NULL);
    CHECK_INT(redisContextUpdateConnectTimeout(&ac->c, &tv), REDIS_OK);
    test_sleep_ms(200);
    conn_adopt(&c, ac);
    /* Setting the callback asks for write events, and sets the timer. */
    CHECK_INT(c.timers > 0, 1);
    if (c.timer.tv_sec > 29 || c.timer.tv_sec < 10) FAIL("the timer is set to %ld s", (long)c.timer.tv_sec);
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    CHECK(c.ac != NULL);
    CHECK_INT(c.ac->err, 0);
    CHECK_INT(redisContextUpdateConnectTimeout(&ac->c, &little), REDIS_OK);
    c.on_connect = connect_timed_out;
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("connect=-1");
    CHECK_INT(c.count, 1);
    CHECK(c.ac == NULL);
    conn_done(&c);
    while (fillers > 0) close(filler[--fillers]);
    close(listener);
}

TEST(async_connect, events_before_the_connection_is_up_are_ignored, "") {
    int listener, filler[8], fillers, port = silent_port(&listener, filler, &fillers);
    conn c;
    conn_zero(&c);
    conn_adopt(&c, redisAsyncConnect("127.0.0.1", port));
    ask(&c, "a", "GET a");
    for (int i = 0; i < 3; i++) {
        redisAsyncHandleWrite(c.ac);
        redisAsyncHandleRead(c.ac);
    }
    CHECK_LOG("");
    CHECK_INT(c.ac->err, 0);
    CHECK_INT(c.ac->c.flags & REDIS_CONNECTED, 0);
    redisAsyncFree(c.ac);
    CHECK_LOG("a:NULL");
    conn_done(&c);
    while (fillers > 0) close(filler[--fillers]);
    close(listener);
}

TEST(async_connect, a_late_connect_timer_does_not_disturb_later_commands, "141") {
    struct timeval connect_tv = {0, 20000}, zero = {0, 0};
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.connect_timeout = &connect_tv;
    conn_open_with(&c, &o);
    CHECK(c.due != 0);
    flush(&c);
    CHECK_LOG("connect=0");
    ask(&c, "a", "PING");
    flush(&c);
    test_sleep_ms(30);
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    CHECK_INT(redisAsyncSetTimeout(c.ac, zero), REDIS_OK);
    ask(&c, "b", "PING");
    redisAsyncHandleTimeout(c.ac);
    CHECK_LOG("");
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

TEST(async_connect, a_late_connect_timer_does_not_disturb_live_commands, "141") {
    struct timeval connect_tv = {0, 100000};
    redisOptions o = {0};
    conn c;
    conn_zero(&c);
    o.connect_timeout = &connect_tv;
    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
    conn_adopt(&c, redisAsyncConnectWithOptions(&o));
    PUMP_LOG(&c, "connect=0");
    ask(&c, "wait", "BLPOP async_connect_nothing 0.3");
    PUMP_LOG(&c, "wait:nil");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG");
    conn_done(&c);
}
#endif
