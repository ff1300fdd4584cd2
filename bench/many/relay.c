// relay: the limit of the machine for many streams with few readers: each call's bytes pass through one C epoll loop, unread
// but for the ends of heads; a connection to the upstream for each connection of a caller, kept as long as that one.
// gcc -O2 -Wall -o relay relay.c        relay PORT UPSTREAM_PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int other[1 << 16], ep;                       // the far end of each descriptor

static void add(int fd) {
  int one = 1; struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}
static void drop(int fd) { int far = other[fd]; close(fd); close(far); other[fd] = other[far] = -1; }
static void pass(int fd) {
  static char b[1 << 16]; ssize_t n = recv(fd, b, sizeof b, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) { drop(fd); return; }
  for (ssize_t done = 0; done < n;) {                // blocks where a peer does not read: the load always does
    ssize_t w = send(other[fd], b + done, n - done, MSG_NOSIGNAL);
    if (w < 0) { drop(fd); return; }
    done += w;
  }
}
int main(int ac, char **av) {
  if (ac < 3) { fprintf(stderr, "relay PORT UPSTREAM_PORT\n"); return 2; }
  int l = socket(AF_INET, SOCK_STREAM, 0), one = 1; struct epoll_event ev[256];
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, there = here;
  there.sin_port = htons(atoi(av[2])); memset(other, -1, sizeof other); ep = epoll_create1(0);
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(l, (void *)&here, sizeof here) || listen(l, 4096)) { perror("listen"); return 1; }
  add(l);
  for (;;) {
    int k = epoll_wait(ep, ev, 256, -1);
    for (int i = 0; i < k; i++) {
      int fd = ev[i].data.fd;
      if (fd != l) { if (other[fd] >= 0) pass(fd); continue; }
      int near = accept(l, 0, 0), far = socket(AF_INET, SOCK_STREAM, 0);
      if (near < 0 || far < 0 || connect(far, (void *)&there, sizeof there)) { if (near >= 0) close(near); if (far >= 0) close(far); continue; }
      other[near] = far; other[far] = near; add(near); add(far);
    }
  }
}
