/* See ae.h. Slow and plain: every turn asks poll(2) about all descriptors. */
#define _POSIX_C_SOURCE 200809L

#include "ae.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct file_event {
    int mask;
    aeFileProc *read, *write;
    void *read_data, *write_data;
} file_event;

typedef struct time_event {
    long long id; /* AE_NOMORE once deleted: freed when no callback can be running */
    long long when;
    aeTimeProc *proc;
    aeEventFinalizerProc *finalizer;
    void *data;
    struct time_event *next;
} time_event;

struct aeEventLoop {
    int setsize, stop;
    long long next_id;
    file_event *files; /* by descriptor */
    struct pollfd *polled;
    time_event *times;
};

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

aeEventLoop *aeCreateEventLoop(int setsize) {
    aeEventLoop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) return NULL;
    if (aeResizeSetSize(loop, setsize) == AE_OK) return loop;
    aeDeleteEventLoop(loop);
    return NULL;
}

void aeDeleteEventLoop(aeEventLoop *loop) {
    while (loop->times != NULL) {
        time_event *next = loop->times->next;
        free(loop->times);
        loop->times = next;
    }
    free(loop->files);
    free(loop->polled);
    free(loop);
}

int aeGetSetSize(aeEventLoop *loop) {
    return loop->setsize;
}

/* Only ever larger here. */
int aeResizeSetSize(aeEventLoop *loop, int setsize) {
    if (setsize < loop->setsize) return AE_ERR;
    file_event *files = realloc(loop->files, (size_t)setsize * sizeof(*files));
    if (files == NULL) return AE_ERR;
    loop->files = files;
    struct pollfd *polled = realloc(loop->polled, (size_t)setsize * sizeof(*polled));
    if (polled == NULL) return AE_ERR;
    loop->polled = polled;
    memset(files + loop->setsize, 0, (size_t)(setsize - loop->setsize) * sizeof(*files));
    loop->setsize = setsize;
    return AE_OK;
}

int aeCreateFileEvent(aeEventLoop *loop, int fd, int mask, aeFileProc *proc, void *data) {
    if (fd >= loop->setsize) return AE_ERR;
    file_event *f = &loop->files[fd];
    f->mask |= mask;
    if (mask & AE_READABLE) {
        f->read = proc;
        f->read_data = data;
    }
    if (mask & AE_WRITABLE) {
        f->write = proc;
        f->write_data = data;
    }
    return AE_OK;
}

void aeDeleteFileEvent(aeEventLoop *loop, int fd, int mask) {
    if (fd < loop->setsize) loop->files[fd].mask &= ~mask;
}

long long aeCreateTimeEvent(aeEventLoop *loop, long long ms, aeTimeProc *proc, void *data,
                            aeEventFinalizerProc *finalizer) {
    time_event *t = malloc(sizeof(*t));
    if (t == NULL) return AE_ERR;
    t->id = loop->next_id++;
    t->when = now_ms() + ms;
    t->proc = proc;
    t->finalizer = finalizer;
    t->data = data;
    t->next = loop->times;
    loop->times = t;
    return t->id;
}

int aeDeleteTimeEvent(aeEventLoop *loop, long long id) {
    time_event *t;
    for (t = loop->times; t != NULL; t = t->next) {
        if (t->id != id) continue;
        t->id = AE_NOMORE;
        return AE_OK;
    }
    return AE_ERR;
}

static int process_times(aeEventLoop *loop) {
    time_event *t, **at = &loop->times;
    long long newest = loop->next_id, now = now_ms();
    int processed = 0;
    for (t = loop->times; t != NULL; t = t->next) {
        /* What a callback adds waits for the next turn. */
        if (t->id == AE_NOMORE || t->id >= newest || t->when > now) continue;
        int again = t->proc(loop, t->id, t->data);
        if (again == AE_NOMORE) t->id = AE_NOMORE;
        else t->when = now_ms() + again;
        processed++;
    }
    while ((t = *at) != NULL) {
        if (t->id != AE_NOMORE) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        if (t->finalizer != NULL) t->finalizer(loop, t->data);
        free(t);
    }
    return processed;
}

static int time_to_wait(const aeEventLoop *loop, int flags) {
    const time_event *t;
    long long wait = -1;
    if (flags & AE_DONT_WAIT) return 0;
    for (t = loop->times; t != NULL; t = t->next) {
        long long left = t->when - now_ms();
        if (t->id == AE_NOMORE || !(flags & AE_TIME_EVENTS)) continue;
        if (left < 0) left = 0;
        if (wait < 0 || left < wait) wait = left;
    }
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

int aeProcessEvents(aeEventLoop *loop, int flags) {
    int fd, i, n = 0, processed = 0;
    for (fd = 0; fd < loop->setsize; fd++) {
        int mask = loop->files[fd].mask;
        if (mask == AE_NONE || !(flags & AE_FILE_EVENTS)) continue;
        loop->polled[n].fd = fd;
        loop->polled[n].events = (short)(mask & AE_READABLE ? POLLIN : 0);
        if (mask & AE_WRITABLE) loop->polled[n].events |= POLLOUT;
        loop->polled[n++].revents = 0;
    }
    if (poll(loop->polled, (nfds_t)n, time_to_wait(loop, flags)) > 0) {
        for (i = 0; i < n; i++) {
            int ready = loop->polled[i].revents;
            if (ready & (POLLERR | POLLHUP)) ready |= POLLIN | POLLOUT;
            fd = loop->polled[i].fd;
            /* The mask is looked at anew each time: the callback before may have changed it. */
            file_event *f = &loop->files[fd];
            if ((ready & POLLIN) && (f->mask & AE_READABLE)) f->read(loop, fd, f->read_data, AE_READABLE);
            f = &loop->files[fd];
            if ((ready & POLLOUT) && (f->mask & AE_WRITABLE)) f->write(loop, fd, f->write_data, AE_WRITABLE);
            processed += ready != 0;
        }
    }
    if (flags & AE_TIME_EVENTS) processed += process_times(loop);
    return processed;
}

void aeMain(aeEventLoop *loop) {
    loop->stop = 0;
    while (!loop->stop) aeProcessEvents(loop, AE_ALL_EVENTS);
}

void aeStop(aeEventLoop *loop) {
    loop->stop = 1;
}
