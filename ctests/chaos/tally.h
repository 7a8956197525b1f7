/* What happened, counted; and what must not happen, told. For threads, too. */
#ifndef CHAOS_TALLY_H
#define CHAOS_TALLY_H

enum tally {
    CONNECTIONS,  /* begun, those that failed included */
    FAILED,       /* of them: never up */
    LOST,         /* of them: ended by an error */
    TIMEOUTS,     /* of both */
    COMMANDS,     /* accepted, with a callback */
    ANSWERED,     /* of them: with a reply */
    UNANSWERED,   /* of them: with NULL, or without reply when blocking */
    UNWATCHED,    /* accepted, without a callback */
    REFUSED,      /* not accepted */
    SUBSCRIPTIONS,
    MESSAGES,
    SESSIONS,     /* that reached their goal */
    TALLIES
};

extern const char *const tally_names[TALLIES];

void tally(enum tally what);
unsigned long tallied(enum tally what);

/* A promise was broken. The first ten are printed. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned long broken_promises(void);

/* An error made on purpose, to see that it is noticed: `name` is that of --plant, and it is the time
 * for it. True once. */
extern const char *plant;
int planted(const char *name);

#endif
