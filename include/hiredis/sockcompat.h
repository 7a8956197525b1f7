/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sockcompat.h - the socket functions of the system, for adapters and programs that
 * include this name. It declares nothing of its own: POSIX systems agree, and
 * Windows is not supported.
 */
#ifndef __SOCKCOMPAT_H
#define __SOCKCOMPAT_H

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#endif
