/* What the tests of the reader share. */
#ifndef HIREDIS_RS_READING_H
#define HIREDIS_RS_READING_H

#include "test.h"

/* Bytes with their length, from a literal that may contain NULs. */
#define BYTES(lit) "" lit, sizeof(lit) - 1

void feed(redisReader *r, const char *bytes, size_t len);
#define FEED(r, lit) feed(r, BYTES(lit))

/* The next complete reply, or NULL when bytes are missing; an error fails the test. */
redisReply *read_reply(redisReader *r);

/* Parses the bytes as exactly one reply with a new reader; the caller frees it. */
redisReply *parse(const char *bytes, size_t len);
#define PARSE(lit) parse(BYTES(lit))

/* The same as one line of text, see reply_text. */
const char *parsed(const char *bytes, size_t len);
#define PARSED(lit) parsed(BYTES(lit))

/* The text of the error that a new reader reports for the bytes, after checks of
 * everything that must hold in the error state; "no error" when there is none. */
const char *read_error(const char *bytes, size_t len);
#define READ_ERROR(lit) read_error(BYTES(lit))

/* Gets a reply from r, which must fail with this code, and checks the error state. */
void check_error_state(redisReader *r, int err, const char *text);

/* n copies of unit, then end. */
char *repeat(const char *unit, size_t n, const char *end);

#endif
