# edged: HTTP for viewers
edged_SRCS := edged/access.c edged/addresses.c edged/api.c edged/audience.c edged/breaker.c edged/cache.c edged/cache_fill.c \
              edged/census.c edged/cmcd.c edged/cmsd.c edged/crowd.c edged/etag.c edged/evict.c edged/fill.c edged/fill_answer.c \
              edged/follow.c edged/gather.c edged/glass.c edged/gzip.c edged/headcount.c edged/hedge.c edged/http.c edged/inquiry.c edged/lag.c edged/ledger.c \
              edged/listing.c edged/main.c edged/merge.c edged/newest.c edged/object.c edged/pages.c edged/path.c edged/players.c \
              edged/race.c edged/readers.c edged/respond.c edged/round.c edged/routes/ask.c edged/routes/local.c \
              edged/routes/lookup.c edged/routes/object.c edged/routes/recording.c edged/routes/reports.c edged/routes/tail.c \
              edged/routes/viewers.c edged/serve.c edged/siblings.c edged/site.c edged/site_loads.c edged/stats.c \
              edged/steering.c edged/tail.c edged/upstream.c edged/waiters.c edged/wire/answer.c edged/wire/conn.c \
              edged/wire/listen.c edged/wire/parse.c edged/wire/request.c edged/wire/seats.c edged/wire/send.c edged/wire/shake.c \
              edged/wire/steps.c edged/wire/tcp.c edged/wire/tls.c edged/wire/wire.c
edged_PKGS := libuv jansson libssl libcrypto libxxhash zlib
edged_LDLIBS := -lnng
edged_UNIT := access addresses answer audience breaker cache cache_refresh cache_room cache_threads census cmcd cmsd crowd fill \
              fill_circle fill_race follow gather glass gzip hedge http http_growing http_gzip http_leaving http_pages \
              http_players http_private http_recording http_seats http_tail inquiry ledger listen merge newest pages parse \
              path readers round send siblings steering tail tls upstream waiters
edged_FUZZ := census cmcd gather glass parse path
# viewers: a crowd in one process. http_floor: what merely sending costs. Both for tests/bench/edge.py, herd.py, follow.py and audience.py
edged_TOOLS := fake_fetch http_floor viewers
