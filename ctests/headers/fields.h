/* Every field of every public struct, with its place on 64-bit platforms.
 *
 * STRUCTS lists the structs as S(name, size, alignment). Each has a list
 * name_FIELDS(F, O, T): F(T, field, offset, size, initialiser) for the fields in
 * order, O(T, field, offset, size) for what shares its place with another member
 * of a union. The initialisers let the compiler tell when a field is missing here.
 */
#ifndef FIELDS_H
#define FIELDS_H

/* clang-format off */
#define STRUCTS(S) \
    S(hiredisAllocFuncs, 40, 8) \
    S(redisReadTask, 48, 8) \
    S(redisReplyObjectFunctions, 56, 8) \
    S(redisReader, 224, 8) \
    S(redisReply, 64, 8) \
    S(redisOptions, 80, 8) \
    S(redisContextFuncs, 48, 8) \
    S(redisContext, 272, 8) \
    S(redisCallback, 32, 8) \
    S(redisCallbackList, 16, 8) \
    S(redisAsyncContext, 464, 8)

#define hiredisAllocFuncs_FIELDS(F, O, T) \
    F(T, mallocFn, 0, 8, 0) \
    F(T, callocFn, 8, 8, 0) \
    F(T, reallocFn, 16, 8, 0) \
    F(T, strdupFn, 24, 8, 0) \
    F(T, freeFn, 32, 8, 0)

#define redisReadTask_FIELDS(F, O, T) \
    F(T, type, 0, 4, 0) \
    F(T, elements, 8, 8, 0) \
    F(T, idx, 16, 4, 0) \
    F(T, obj, 24, 8, 0) \
    F(T, parent, 32, 8, 0) \
    F(T, privdata, 40, 8, 0)

#define redisReplyObjectFunctions_FIELDS(F, O, T) \
    F(T, createString, 0, 8, 0) \
    F(T, createArray, 8, 8, 0) \
    F(T, createInteger, 16, 8, 0) \
    F(T, createDouble, 24, 8, 0) \
    F(T, createNil, 32, 8, 0) \
    F(T, createBool, 40, 8, 0) \
    F(T, freeObject, 48, 8, 0)

#define redisReader_FIELDS(F, O, T) \
    F(T, err, 0, 4, 0) \
    F(T, errstr, 4, 128, "") \
    F(T, buf, 136, 8, 0) \
    F(T, pos, 144, 8, 0) \
    F(T, len, 152, 8, 0) \
    F(T, maxbuf, 160, 8, 0) \
    F(T, maxelements, 168, 8, 0) \
    F(T, task, 176, 8, 0) \
    F(T, tasks, 184, 4, 0) \
    F(T, ridx, 188, 4, 0) \
    F(T, reply, 192, 8, 0) \
    F(T, fn, 200, 8, 0) \
    F(T, privdata, 208, 8, 0) \
    F(T, maxdepth, 216, 4, 0)

#define redisReply_FIELDS(F, O, T) \
    F(T, type, 0, 4, 0) \
    F(T, integer, 8, 8, 0) \
    F(T, dval, 16, 8, 0) \
    F(T, len, 24, 8, 0) \
    F(T, str, 32, 8, 0) \
    F(T, vtype, 40, 4, "") \
    F(T, elements, 48, 8, 0) \
    F(T, element, 56, 8, 0)

#define redisOptions_FIELDS(F, O, T) \
    F(T, type, 0, 4, 0) \
    F(T, options, 4, 4, 0) \
    F(T, connect_timeout, 8, 8, 0) \
    F(T, command_timeout, 16, 8, 0) \
    F(T, endpoint.tcp.source_addr, 24, 8, 0) \
    F(T, endpoint.tcp.ip, 32, 8, 0) \
    F(T, endpoint.tcp.port, 40, 4, 0) \
    O(T, endpoint.unix_socket, 24, 8) \
    O(T, endpoint.fd, 24, 4) \
    F(T, privdata, 48, 8, 0) \
    F(T, free_privdata, 56, 8, 0) \
    F(T, push_cb, 64, 8, 0) \
    F(T, async_push_cb, 72, 8, 0)

#define redisContextFuncs_FIELDS(F, O, T) \
    F(T, close, 0, 8, 0) \
    F(T, free_privctx, 8, 8, 0) \
    F(T, async_read, 16, 8, 0) \
    F(T, async_write, 24, 8, 0) \
    F(T, read, 32, 8, 0) \
    F(T, write, 40, 8, 0)

#define redisContext_FIELDS(F, O, T) \
    F(T, funcs, 0, 8, 0) \
    F(T, err, 8, 4, 0) \
    F(T, errstr, 12, 128, "") \
    F(T, fd, 140, 4, 0) \
    F(T, flags, 144, 4, 0) \
    F(T, obuf, 152, 8, 0) \
    F(T, reader, 160, 8, 0) \
    F(T, connection_type, 168, 4, REDIS_CONN_TCP) \
    F(T, connect_timeout, 176, 8, 0) \
    F(T, command_timeout, 184, 8, 0) \
    F(T, tcp.host, 192, 8, 0) \
    F(T, tcp.source_addr, 200, 8, 0) \
    F(T, tcp.port, 208, 4, 0) \
    F(T, unix_sock.path, 216, 8, 0) \
    F(T, saddr, 224, 8, 0) \
    F(T, addrlen, 232, 8, 0) \
    F(T, privdata, 240, 8, 0) \
    F(T, free_privdata, 248, 8, 0) \
    F(T, privctx, 256, 8, 0) \
    F(T, push_cb, 264, 8, 0)

#define redisCallback_FIELDS(F, O, T) \
    F(T, next, 0, 8, 0) \
    F(T, fn, 8, 8, 0) \
    F(T, pending_subs, 16, 4, 0) \
    F(T, unsubscribe_sent, 20, 4, 0) \
    F(T, privdata, 24, 8, 0)

#define redisCallbackList_FIELDS(F, O, T) \
    F(T, head, 0, 8, NULL) \
    F(T, tail, 8, 8, NULL)

#define redisAsyncContext_FIELDS(F, O, T) \
    F(T, c, 0, 272, {0}) \
    F(T, err, 272, 4, 0) \
    F(T, errstr, 280, 8, 0) \
    F(T, data, 288, 8, 0) \
    F(T, dataCleanup, 296, 8, 0) \
    F(T, ev.data, 304, 8, 0) \
    F(T, ev.addRead, 312, 8, 0) \
    F(T, ev.delRead, 320, 8, 0) \
    F(T, ev.addWrite, 328, 8, 0) \
    F(T, ev.delWrite, 336, 8, 0) \
    F(T, ev.cleanup, 344, 8, 0) \
    F(T, ev.scheduleTimer, 352, 8, 0) \
    F(T, onDisconnect, 360, 8, 0) \
    F(T, onConnect, 368, 8, 0) \
    F(T, onConnectNC, 376, 8, 0) \
    F(T, replies.head, 384, 8, 0) \
    F(T, replies.tail, 392, 8, 0) \
    F(T, saddr, 400, 8, 0) \
    F(T, addrlen, 408, 8, 0) \
    F(T, sub.replies.head, 416, 8, 0) \
    F(T, sub.replies.tail, 424, 8, 0) \
    F(T, sub.channels, 432, 8, 0) \
    F(T, sub.patterns, 440, 8, 0) \
    F(T, sub.pending_unsubs, 448, 4, 0) \
    F(T, push_cb, 456, 8, 0)
/* clang-format on */

/* One value with an initialiser for each field of fields.h: the compiler rejects
 * it when the struct has a field more or a field less than the list. */
#define INITIALISER(T, field, offset, size, init) init,
#define NOTHING(T, field, offset, size)

#endif
