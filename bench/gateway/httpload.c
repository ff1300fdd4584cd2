// httpload: an NDJSON streaming upstream and an HTTP keep-alive client in one process (one clock), so that a proxy
// between them can be measured.  gcc -O2 -Wall -o httpload httpload.c
// httpload --listen 9302 --target 127.0.0.1:9301 --conns K --frags F --gap-us G --duration S   (G=0: all at once)
// Upstream: every request is answered with F lines of ~100 bytes, one HTTP chunk each, one send each when G>0.
// Client: K connections, each asks again when its answer has ended. --no-upstream: another upstream is used.
// --ramp-ms R: the calls begin spread over R, and only what comes behind R is counted: COUNTING on standard error says so, and behind
// the figures the connections stay until standard input ends. --ws N: N WebSocket readers besides
// for each stream that an answer names in Fanlight-Stream; what their first message holds is older, and not counted.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#define MAXC 16384
typedef struct { int kind, fd; char rb[8192]; int rl; int left; uint64_t next; /* upstream */
  int st, hs; long chunk; char line[4096]; int ll, frags; uint64_t sent; int first; char *wb; size_t wn, wc; } conn; // kind 1 upstream 2 client 3 WebSocket reader
static conn *by[1 << 16]; static int ep, F = 200, K = 1, gap = 0, size = 100, noup = 0; static double dur = 3; static char thost[64] = "127.0.0.1"; static int tport = 9301, lport = 9302, ramp = 0, nws = 0, wsopen = 0; static uint64_t count_from = 0;
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
typedef struct { uint64_t h[64 * 128], n, max; double sum; } hist; static hist HF, HT, HR, HW;
static void hadd(hist *H, uint64_t v) { int e = v < 128 ? 0 : 63 - __builtin_clzll(v) - 6; H->h[e * 128 + (v >> e)]++; H->n++; H->sum += v; if (v > H->max) H->max = v; }
static double hq(hist *H, double q) { uint64_t w = q * H->n, s = 0; for (int i = 0; i < 64 * 128; i++) { s += H->h[i]; if (s > w) { double v = ((i % 128) + .5) * (double)(1ull << (i / 128)); return (v > H->max ? H->max : v) / 1e3; } } return H->max / 1e3; }
static void ctl(int fd) { struct epoll_event e = {.events = EPOLLIN, .data.fd = fd}; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e); }
static uint64_t reqs, frags, wsfrags, errs, short_, bytes; static int running = 1; static char reqb[512];
static int line(char *o, int i) { int k = sprintf(o, "{\"event_type\":\"text_generation\",\"text\":\"[\\\"seq\\\":%d,\\\"ts\\\":%llu] ", i, (unsigned long long)now()); while (k < size - 3) { o[k] = 'a' + k % 26; k++; } o[k++] = '"'; o[k++] = '}'; o[k++] = '\n'; return k; }
static void xsend(int fd, const char *b, size_t n) { while (n) { ssize_t w = send(fd, b, n, MSG_NOSIGNAL); if (w <= 0) { if (errno == EAGAIN) { usleep(100); continue; } errs++; return; } b += w; n -= w; } }
static int chunk(char *o, int i) { char l[4096]; int n = line(l, i), k = sprintf(o, "%x\r\n", n); memcpy(o + k, l, n); k += n; o[k++] = '\r'; o[k++] = '\n'; return k; }
static const char START[] = "{\"event_type\":\"stream_start\",\"metadata\":{\"generation_id\":\"g\"}}\n";
static const char END[] = "{\"event_type\":\"stream_end\",\"finish_reason\":\"stop\",\"metadata\":{\"generation_id\":\"g\",\"usage\":{\"output_tokens\":7}}}\n";
static int finish(char *o) { return sprintf(o, "%zx\r\n%s\r\n0\r\n\r\n", strlen(END), END); }
static const char HD[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
static void up_start(conn *c) {
  static char *b; if (!b) b = malloc(1 << 22); int k = sizeof HD - 1; memcpy(b, HD, k);
  k += sprintf(b + k, "%zx\r\n%s\r\n", strlen(START), START);
  if (!gap) { for (int i = 0; i < F; i++) k += chunk(b + k, i); k += finish(b + k); xsend(c->fd, b, k); }
  else { k += chunk(b + k, 0); xsend(c->fd, b, k); c->left = F - 1; c->next = now() + gap * 1000ull; }
}
static void watch(const char *id, int n) { // one more reader of a stream, over WebSocket
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1; struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(tport)}; inet_pton(AF_INET, thost, &a.sin_addr);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, 4); if (connect(fd, (void *)&a, sizeof a)) { errs++; close(fd); return; }
  char b[512]; int k = snprintf(b, sizeof b, "GET /v1/streams/%.*s/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", n, id);
  conn *c = calloc(1, sizeof *c); c->fd = fd; c->kind = 3; by[fd] = c; ctl(fd); wsopen++; xsend(fd, b, k); }
static void stamps(conn *c, char *p, size_t n, uint64_t t) { // the fragments of one message
  static const char T[] = "\\\"ts\\\":"; char *e = p + n;
  while ((p = memmem(p, e - p, T, 7))) { p += 7; uint64_t v = strtoull(p, 0, 10); if (t >= count_from) { hadd(&HW, t > v ? t - v : 0); wsfrags++; } } }
static int frames(conn *c, const char *b, int n, uint64_t t) { // 0: the server has closed
  if (c->wn + n + 1 > c->wc) c->wb = realloc(c->wb, c->wc = (c->wn + n + 1) * 2);
  memcpy(c->wb + c->wn, b, n); c->wn += n; c->wb[c->wn] = 0; char *p = c->wb, *e = c->wb + c->wn; int alive = 1;
  if (!c->st) { char *q = memmem(p, e - p, "\r\n\r\n", 4); if (!q) return 1; if (memcmp(p, "HTTP/1.1 101", 12)) { errs++; return 0; } c->st = 1; p = q + 4; }
  while (e - p >= 2) { uint8_t *h = (uint8_t *)p; uint64_t k = h[1] & 127; int o = 2; if (k == 126) { if (e - p < 4) break; k = h[2] << 8 | h[3]; o = 4; } else if (k == 127) { if (e - p < 10) break; k = 0; for (int i = 2; i < 10; i++) k = k << 8 | h[i]; o = 10; }
    if ((uint64_t)(e - p) < o + k) break;
    if ((h[0] & 15) == 8) alive = 0; else if ((h[0] & 15) == 1) { if (c->first) stamps(c, p + o, k, t); c->first = 1; }
    p += o + k; }
  c->wn = e - p; memmove(c->wb, p, c->wn); return alive; }
static void ask(conn *c) {
  static unsigned long asked; char body[128]; int n = sprintf(body, "{\"prompt\":\"%lu\",\"video_id\":\"v\"}", ++asked);
  snprintf(reqb, sizeof reqb, "POST /v1.3/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
  c->st = 0; c->hs = 0; c->ll = 0; c->frags = 0; c->first = 0; c->sent = now(); xsend(c->fd, reqb, strlen(reqb)); }
static void eat(conn *c, char *b, int n, uint64_t t) {
  for (int i = 0; i < n;) switch (c->st) {
    case 0: { static const char *E = "\r\n\r\n"; if (c->hs < 4 && b[i] == E[c->hs]) c->hs++; else c->hs = b[i] == '\r'; i++; if (c->hs == 4) { c->st = 1; c->chunk = 0;
        if (nws) { char *id = memmem(b, i, "Fanlight-Stream: ", 17), *q = id ? strchr(id, '\r') : 0; if (q) for (int j = 0; j < nws; j++) watch(id + 17, q - id - 17); } } break; }
    case 1: { char x = b[i++]; int d = x >= '0' && x <= '9' ? x - '0' : (x | 32) >= 'a' && (x | 32) <= 'f' ? (x | 32) - 'a' + 10 : -1; if (d >= 0) c->chunk = c->chunk * 16 + d; else if (x == '\n') c->st = c->chunk ? 2 : 4; break; }
    case 2: { if (!c->first) { c->first = 1; hadd(&HT, t - c->sent); } int k = n - i < c->chunk ? n - i : c->chunk; char *p = b + i, *e = p + k;
        while (p < e) { char *q = memchr(p, '\n', e - p); int m = (q ? q : e) - p; if (c->ll + m < 4000) { memcpy(c->line + c->ll, p, m); c->ll += m; } p += m;
          if (q) { p++; c->line[c->ll] = 0; char *s = strstr(c->line, "\\\"ts\\\":"); if (s) { uint64_t v = strtoull(s + 7, 0, 10); c->frags++; if (t >= count_from) { hadd(&HF, t > v ? t - v : 0); frags++; } } c->ll = 0; } }
        i += k; c->chunk -= k; if (!c->chunk) c->st = 3; break; }
    case 3: if (b[i++] == '\n') { c->st = 1; c->chunk = 0; } break;
    case 4: if (b[i++] == '\n') { reqs++; if (c->frags != F) short_++; hadd(&HR, t - c->sent); if (running) { ask(c); return; } c->st = 5; return; } break;
    default: return; }
}
int main(int ac, char **av) {
  static struct option lo[] = {{"listen", 1, 0, 'l'}, {"target", 1, 0, 't'}, {"conns", 1, 0, 'k'}, {"frags", 1, 0, 'f'}, {"gap-us", 1, 0, 'g'}, {"duration", 1, 0, 'd'}, {"size", 1, 0, 's'}, {"no-upstream", 0, 0, 'n'}, {"path", 1, 0, 'p'}, {"ws", 1, 0, 'w'}, {"ramp-ms", 1, 0, 'r'}, {0}}; int o; const char *path = "/stream";
  while ((o = getopt_long(ac, av, "", lo, 0)) != -1) switch (o) { case 'l': lport = atoi(optarg); break; case 't': { char *c = strchr(optarg, ':'); tport = atoi(c + 1); *c = 0; strcpy(thost, optarg); break; } case 'k': K = atoi(optarg); break; case 'f': F = atoi(optarg); break; case 'g': gap = atoi(optarg); break; case 'd': dur = atof(optarg); break; case 's': size = atoi(optarg); break; case 'n': noup = 1; break; case 'p': path = optarg; break; case 'w': nws = atoi(optarg); break; case 'r': ramp = atoi(optarg); break; default: return 2; }
  if (size < 130) size = 130;
  (void)path; if (strncmp(thost, "127.", 4)) return 2;
  ep = epoll_create1(0); int one = 1, ls = -1;
  if (!noup) { ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, 4); struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(lport), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}; if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("listen"); return 1; } ctl(ls); }
  int tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK); if (gap) { ctl(tf); }
  static conn *cl[MAXC]; struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(tport)}; inet_pton(AF_INET, thost, &a.sin_addr);
  for (int i = 0; i < K; i++) { int fd = socket(AF_INET, SOCK_STREAM, 0); setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, 4); if (connect(fd, (void *)&a, sizeof a)) { perror("connect"); return 1; } cl[i] = calloc(1, sizeof(conn)); cl[i]->fd = fd; cl[i]->kind = 2; by[fd] = cl[i]; ctl(fd); }
  uint64_t t0 = now(), end = t0 + ramp * 1000000ull + dur * 1e9, hard = end + 5000000000ull; struct epoll_event ev[256]; static conn *ups[MAXC]; int nu = 0; uint64_t armed = 0; int begun = 0, told = 0; uint64_t spread = ramp ? ramp * 1000000ull : gap * 1000ull; if (ramp) count_from = t0 + spread;
  for (;;) {
    uint64_t t = now(); if (t >= end) running = 0; if (t > hard || (ramp && !running)) break; if (count_from && !told && t >= count_from) { told = 1; fputs("COUNTING\n", stderr); }
    if (begun < K) { while (begun < K && t >= t0 + (gap ? (uint64_t)begun * spread / K : 0)) ask(cl[begun++]); }
    if (!running) { int busy = 0; for (int i = 0; i < K; i++) if (cl[i]->st != 5) busy = 1; if (!busy) break; }
    if (gap) { uint64_t nx = UINT64_MAX; t = now();
      for (int i = 0; i < nu; i++) { conn *c = ups[i]; while (c->left && c->next <= t) { char b[5000]; int k = chunk(b, F - c->left); if (--c->left == 0) k += finish(b + k); xsend(c->fd, b, k); c->next += gap * 1000ull; } if (c->left && c->next < nx) nx = c->next; }
      if (nx != UINT64_MAX && nx != armed) { armed = nx; struct itimerspec it = {{0, 0}, {nx / 1000000000, nx % 1000000000}}; timerfd_settime(tf, TFD_TIMER_ABSTIME, &it, 0); } }
    int k = epoll_wait(ep, ev, 256, begun < K ? 1 : 100);
    for (int i = 0; i < k; i++) { int fd = ev[i].data.fd;
      if (fd == tf) { uint64_t x; if (read(tf, &x, 8) < 0) {} armed = 0; continue; }
      if (fd == ls) { int f; while ((f = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) { setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &one, 4); conn *c = calloc(1, sizeof *c); c->fd = f; c->kind = 1; by[f] = c; if (nu < MAXC) ups[nu++] = c; ctl(f); } continue; }
      conn *c = by[fd]; if (!c) continue;
      if (c->kind == 1) { int r = recv(fd, c->rb + c->rl, sizeof c->rb - c->rl - 1, 0); if (r <= 0) { if (r < 0 && errno == EAGAIN) continue; for (int j = 0; j < nu; j++) if (ups[j] == c) ups[j] = ups[--nu]; close(fd); by[fd] = 0; free(c); continue; }
        c->rl += r; c->rb[c->rl] = 0; char *q; while ((q = strstr(c->rb, "\r\n\r\n"))) { q += 4; char *l = strcasestr(c->rb, "content-length:"); int body = l && l < q ? atoi(l + 15) : 0; if (c->rl - (q - c->rb) < body) break; q += body; int m = c->rl - (q - c->rb); memmove(c->rb, q, m + 1); c->rl = m; up_start(c); } }
      else { static char b[1 << 17]; int r = recv(fd, b, sizeof b - 1, 0); if (c->kind == 3) { if (r <= 0 || !frames(c, b, r, now())) { wsopen--; close(fd); by[fd] = 0; free(c->wb); free(c); } continue; } if (r > 0) b[r] = 0; if (r <= 0) { errs++; c->st = 5; close(fd); by[fd] = 0; continue; } bytes += r; eat(c, b, r, now()); } } }
  double s = (now() - t0) / 1e9; struct rusage ru; getrusage(RUSAGE_SELF, &ru); double cpu = ru.ru_utime.tv_sec + ru.ru_stime.tv_sec + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
  printf("{\"conns\":%d,\"frags_per_req\":%d,\"gap_us\":%d,\"requests\":%llu,\"rps\":%.1f,\"frags\":%llu,\"frags_per_s\":%.0f,\"errors\":%llu,\"short\":%llu,"
         "\"ttfb_us\":{\"p50\":%.1f,\"p99\":%.1f},\"frag_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},\"total_us\":{\"p50\":%.1f,\"p99\":%.1f},\"ws\":{\"frags\":%llu,\"p50\":%.1f,\"p99\":%.1f,\"open\":%d},\"gen_busy\":%.3f}\n",
         K, F, gap, (unsigned long long)reqs, reqs / s, (unsigned long long)frags, frags / s, (unsigned long long)errs, (unsigned long long)short_, hq(&HT, .5), hq(&HT, .99), hq(&HF, .5), hq(&HF, .9), hq(&HF, .99), HF.max / 1e3, hq(&HR, .5), hq(&HR, .99), (unsigned long long)wsfrags, hq(&HW, .5), hq(&HW, .99), wsopen, cpu / s);
  if (ramp) { char b[8]; fflush(stdout); if (read(0, b, 8) < 0) {} }
  return 0;
}
