/* The part of ae's interface that an adapter and its test use, for machines on which the
 * sources of Redis cannot be had. Written for the tests, on poll(2). */
#ifndef STANDIN_AE_H
#define STANDIN_AE_H

#define AE_OK 0
#define AE_ERR (-1)

#define AE_NONE 0
#define AE_READABLE 1
#define AE_WRITABLE 2

#define AE_FILE_EVENTS 1
#define AE_TIME_EVENTS 2
#define AE_ALL_EVENTS (AE_FILE_EVENTS | AE_TIME_EVENTS)
#define AE_DONT_WAIT 4

#define AE_NOMORE (-1)

typedef struct aeEventLoop aeEventLoop;

typedef void aeFileProc(aeEventLoop *loop, int fd, void *data, int mask);
/* Returns after how many milliseconds to come again, or AE_NOMORE. */
typedef int aeTimeProc(aeEventLoop *loop, long long id, void *data);
typedef void aeEventFinalizerProc(aeEventLoop *loop, void *data);

aeEventLoop *aeCreateEventLoop(int setsize);
void aeDeleteEventLoop(aeEventLoop *loop);
int aeGetSetSize(aeEventLoop *loop);
int aeResizeSetSize(aeEventLoop *loop, int setsize);

int aeCreateFileEvent(aeEventLoop *loop, int fd, int mask, aeFileProc *proc, void *data);
void aeDeleteFileEvent(aeEventLoop *loop, int fd, int mask);

long long aeCreateTimeEvent(aeEventLoop *loop, long long ms, aeTimeProc *proc, void *data,
                            aeEventFinalizerProc *finalizer);
int aeDeleteTimeEvent(aeEventLoop *loop, long long id);

int aeProcessEvents(aeEventLoop *loop, int flags);
void aeMain(aeEventLoop *loop);
void aeStop(aeEventLoop *loop);

#endif
