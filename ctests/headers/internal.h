/* Exported by the library and used by TLS libraries or old programs, but declared
 * by no public header. Here they are declared so that Rust can be held to them. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <hiredis/async.h>

/* Used by libhiredis_ssl. */
void __redisSetError(redisContext *c, int type, const char *str);
void __redisAsyncDisconnect(redisAsyncContext *ac);
void redisProcessCallbacks(redisAsyncContext *ac);
void redisNetClose(redisContext *c);

/* The rest of the network layer. */
int __redisAppendCommand(redisContext *c, const char *cmd, size_t len);
int redisCheckConnectDone(redisContext *c, int *completed);
int redisCheckSocketError(redisContext *c);
int redisContextConnectBindTcp(redisContext *c, const char *addr, int port,
                               const struct timeval *timeout, const char *source_addr);
int redisContextConnectTcp(redisContext *c, const char *addr, int port,
                           const struct timeval *timeout);
int redisContextConnectUnix(redisContext *c, const char *path, const struct timeval *timeout);
int redisContextSetTcpUserTimeout(redisContext *c, unsigned int timeout);
int redisContextSetTimeout(redisContext *c, const struct timeval tv);
int redisContextUpdateCommandTimeout(redisContext *c, const struct timeval *timeout);
int redisContextUpdateConnectTimeout(redisContext *c, const struct timeval *timeout);
int redisKeepAlive(redisContext *c, int interval);
ssize_t redisNetRead(redisContext *c, char *buf, size_t bufcap);
ssize_t redisNetWrite(redisContext *c);
int redisSetTcpNoDelay(redisContext *c);

/* Left over from sds. */
int hex_digit_to_int(char c);
int sdsll2str(char *s, long long value);
int sdsull2str(char *s, unsigned long long v);

#endif
