/* Shorthands of the tests of blocking connections. */
#ifndef SYNC_H
#define SYNC_H

#include "test.h"

/* Connected to the live server by unix socket or TCP; the test fails when that does not work. */
redisContext *live(void);
redisContext *live_tcp(void);

/* Sends a command and returns the reply's text (reply_text), the reply being freed.
 * Without a reply the test fails with the context's error. */
const char *command_text(redisContext *c, const char *format, ...);

/* The same for the next reply of a pipeline. */
const char *next_reply(redisContext *c);

/* c->err and c->errstr. */
void test_check_error(const char *file, int line, const redisContext *c, int err, const char *text);
#define CHECK_ERROR(c, err, text) test_check_error(__FILE__, __LINE__, c, err, text)
#define CHECK_NO_ERROR(c) test_check_error(__FILE__, __LINE__, c, 0, "")

/* A connected pair: the context has one end as REDIS_CONN_USERFD, the test holds the other. */
redisContext *pair_context(int *peer);

/* Lets SIGALRM interrupt calls each ms milliseconds; 0 ends it.
 * Returns how often it came since the last call. */
int alarms(int ms);

struct timeval seconds(double s);

/* c->flags without the bits that the headers do not name: those are the library's own affair. */
int public_flags(const redisContext *c);

/* What the system says of a descriptor. */
int socket_option(int fd, int level, int name);
int is_nonblocking(int fd);
int is_open(int fd);

/* Exported, but declared in no public header. */
int __redisAppendCommand(redisContext *c, const char *cmd, size_t len);
void __redisSetError(redisContext *c, int type, const char *str);
int redisCheckSocketError(redisContext *c);
int redisContextConnectTcp(redisContext *c, const char *addr, int port, const struct timeval *timeout);
int redisContextConnectBindTcp(redisContext *c, const char *addr, int port, const struct timeval *timeout,
                               const char *source_addr);
int redisContextConnectUnix(redisContext *c, const char *path, const struct timeval *timeout);
int redisContextSetTimeout(redisContext *c, const struct timeval tv);
int redisKeepAlive(redisContext *c, int interval);
#if HIREDIS_MAJOR >= 1
int redisCheckConnectDone(redisContext *c, int *completed);
int redisContextSetTcpUserTimeout(redisContext *c, unsigned int timeout);
int redisContextUpdateCommandTimeout(redisContext *c, const struct timeval *timeout);
int redisContextUpdateConnectTimeout(redisContext *c, const struct timeval *timeout);
void redisNetClose(redisContext *c);
ssize_t redisNetRead(redisContext *c, char *buf, size_t bufcap);
ssize_t redisNetWrite(redisContext *c);
int redisSetTcpNoDelay(redisContext *c);
#endif

#endif
