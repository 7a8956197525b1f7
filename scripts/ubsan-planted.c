/* Makes the error that its argument names: scripts/ubsan checks that each is reported. */
#include <limits.h>
#include <string.h>

#include <hiredis/adapters/poll.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

static volatile int sink;

int main(int argc, char **argv) {
    const char *error = argc > 1 ? argv[1] : "";
    if (strcmp(error, "program") == 0) {
        volatile int most = INT_MAX;
        sink = most + 1;
    } else if (strcmp(error, "header") == 0) {
        sds volatile none = NULL;
        sink = (int)sdslen(none);
    } else if (strcmp(error, "adapter") == 0) {
        static _Alignas(16) char memory[sizeof(redisPollEvents) + 16];
        redisPollAddRead(memory + 1);
    }
    return 0;
}
