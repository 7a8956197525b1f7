/* Servers for tests that need bytes a real server will not send.
 *
 * Two kinds. A scripted server runs in a thread of its own, for tests whose client blocks:
 *
 *     fake *f = fake_new();
 *     fake_accept(f);
 *     fake_expect_str(f, "*1\r\n$4\r\nPING\r\n");
 *     fake_send_str(f, "+PONG\r\n");
 *     fake_start(f);
 *     redisContext *c = redisConnectUnix(fake_path(f));
 *     ...
 *     redisFree(c);
 *     fake_finish(f);
 *
 * The calls before fake_start only write the script down. fake_finish waits for its end and
 * fails the test if a step went wrong.
 *
 * The other kind has no thread: the test holds the server's end itself (hand_*) and reads and
 * writes it between calls of the library. It is deterministic, so prefer it where nothing blocks. */
#ifndef FAKE_H
#define FAKE_H

#include <stddef.h>

typedef struct fake fake;

/* A server on a unix socket in the tests' directory, or on a free port of 127.0.0.1.
 * It listens already: a client may connect before fake_start. */
fake *fake_new(void);
fake *fake_new_tcp(void);
fake *fake_new_with_backlog(int backlog);                    /* unix; the others have room for 64 */
const char *fake_path(const fake *f);
int fake_port(const fake *f);

/* The steps of the script. Each waits for 20 seconds at most. */
void fake_accept(fake *f);                                   /* the next connection; closes the one before */
void fake_expect(fake *f, const void *bytes, size_t len);    /* exactly these bytes arrive */
void fake_expect_str(fake *f, const char *text);
void fake_expect_eof(fake *f);                               /* the client closes, no byte before that */
void fake_drain(fake *f, size_t len);                        /* this many bytes, whatever they are */
void fake_drain_all(fake *f);                                /* everything until the client closes */
void fake_send(fake *f, const void *bytes, size_t len);
void fake_send_str(fake *f, const char *text);
void fake_drip(fake *f, const void *bytes, size_t len, int ms); /* byte by byte; stops when the client goes */
void fake_sleep(fake *f, int ms);
void fake_shutdown(fake *f);                                 /* ends the sending direction only */
void fake_close(fake *f);
void fake_reset(fake *f);                                    /* the client sees a reset (TCP) */
void fake_stop_listening(fake *f);                           /* later connects are refused */
void fake_wait(fake *f);                                     /* until the test calls fake_go */
void fake_mark(fake *f);                                     /* lets the test's fake_await return */
void fake_buffer(fake *f, int bytes);                        /* limits both buffers of the connection */

void fake_start(fake *f);
void fake_go(fake *f);
void fake_await(fake *f);

/* Waits for the script's end, closes everything and frees f. A step that went wrong fails the test. */
void fake_finish(fake *f);

/* By hand. All of them fail the test when the system refuses, and after 20 seconds of waiting. */
int hand_listen_unix(char *path, size_t cap, int backlog);   /* stores the path, returns the socket */
int hand_listen_tcp(int *port, int backlog);                 /* on 127.0.0.1 */
int hand_accept(int listener);
void hand_pair(int fd[2]);                                   /* connected stream sockets, both blocking */
void hand_send(int fd, const void *bytes, size_t len);
void hand_send_str(int fd, const char *text);
void hand_expect(int fd, const void *bytes, size_t len);
void hand_expect_str(int fd, const char *text);
void hand_expect_eof(int fd);
void hand_expect_quiet(int fd);                              /* nothing to read now, and not closed */
size_t hand_read_now(int fd, char *buf, size_t cap);         /* what has arrived, without waiting */
void hand_reset(int fd);                                     /* close with a reset (TCP) */

/* Connects to a listening socket until its queue is full, so that the next connect has to wait.
 * Stores the connected ends and returns how many they are; close them by hand. */
size_t hand_fill_unix(const char *path, int *fd, size_t max);
size_t hand_fill_tcp(int port, int *fd, size_t max);

/* A port of 127.0.0.1 whose connects neither succeed nor fail, until the test ends. */
int hand_stuck_port(void);

/* A port of 127.0.0.1 on which nothing listens: bound, so that nobody else takes it. Close *fd when done. */
int hand_dead_port(int *fd);

#endif
