/* SPDX-License-Identifier: MIT
 *
 * echo_floor.c: what an echo costs without Python: one connection, epoll, recv, send.
 *
 * loop_echo.py --floor compiles it and takes its CPU time. Argument: the descriptor of a listening
 * socket. Ends with the connection.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256 * 1024)

static char buffer[BUFFER];

int
main(int argc, char **argv)
{
    int listening = argc > 1 ? atoi(argv[1]) : 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening};
    int connection;

    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    if (epoll_wait(epoll, &event, 1, -1) < 1) {
        return 1;
    }
    connection = accept(listening, NULL, NULL);
    event.events = EPOLLIN;
    event.data.fd = connection;
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
    while (epoll_wait(epoll, &event, 1, -1) >= 0) {
        ssize_t n = recv(connection, buffer, BUFFER, MSG_DONTWAIT);
        if (n == 0) {
            return 0;
        }
        if (n > 0 && send(connection, buffer, (size_t)n, MSG_NOSIGNAL) != n) {
            return 1;
        }
    }
    return 1;
}
