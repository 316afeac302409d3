/* tls_tickets: whose keys open whose tickets, and until when. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "common/clock.h"
#include "common/tls_tickets.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HOUR_US (TLS_TICKETS_S * US_PER_S)
#define THEN_US (500000 * HOUR_US + 10 * US_PER_S) /* since 1970 */

static const uint8_t proof[TLS_TICKETS_PROOF] = {1}, other_proof[TLS_TICKETS_PROOF] = {2};

struct site {
        struct tls_tickets *a, *b;
};

static void open_site(struct site *s, const char *secret_a, const char *secret_b)
{
        s->a = tls_tickets_open();
        s->b = tls_tickets_open();
        tls_tickets_share(s->a, secret_a, proof);
        tls_tickets_share(s->b, secret_b, proof);
}

static void close_site(struct site *s)
{
        tls_tickets_close(&s->a);
        tls_tickets_close(&s->b);
}

/* A ticket of `from`, sealed at THEN, is shown to `to` some time later; that machine's monotonic clock is another one. */
static bool opens(struct tls_tickets *from, struct tls_tickets *to, bool shared, int64_t later_us)
{
        struct tls_ticket_key sealed, opened;
        assert_true(tls_tickets_seal_with(from, shared, 1000 * US_PER_S, THEN_US, &sealed));
        int64_t mono_us = (from == to ? 1000 : 5) * US_PER_S + later_us;
        bool ok = tls_tickets_opens_with(to, sealed.name, mono_us > 0 ? mono_us : 0, THEN_US + later_us, &opened);
        if (ok)
                assert_memory_equal(&sealed, &opened, sizeof(sealed));
        return ok;
}

static void test_who_shares_a_secret_opens_the_others_tickets(void **state)
{
        (void)state;
        struct site s;
        open_site(&s, SECRET, SECRET);
        assert_true(opens(s.a, s.b, true, 0));
        assert_true(opens(s.b, s.a, true, HOUR_US));      /* in the next hour too, */
        assert_false(opens(s.a, s.b, true, 2 * HOUR_US)); /* and no longer */
        assert_true(opens(s.a, s.b, true, -60 * US_PER_S)); /* of one whose clock is ahead, beyond the full hour */
        assert_false(opens(s.a, s.b, true, -HOUR_US - 60 * US_PER_S));
        close_site(&s);
}

static void test_a_ticket_that_is_not_to_be_shared_is_opened_by_who_sealed_it(void **state)
{
        (void)state;
        struct site s;
        open_site(&s, SECRET, SECRET);
        assert_true(opens(s.a, s.a, false, 0));
        assert_true(opens(s.a, s.a, false, HOUR_US));
        assert_false(opens(s.a, s.b, false, 0));
        close_site(&s);
        open_site(&s, "", "");
        assert_true(opens(s.a, s.a, true, 0));
        assert_false(opens(s.a, s.a, true, 2 * HOUR_US));
        assert_false(opens(s.a, s.b, true, 0));
        close_site(&s);
}

static void test_another_secret_or_another_certificate_opens_nothing(void **state)
{
        (void)state;
        struct site s;
        struct tls_ticket_key own, shared, opened;
        open_site(&s, SECRET, "another secret of the same length");
        assert_false(opens(s.a, s.b, true, 0));
        tls_tickets_share(s.b, SECRET, other_proof);
        assert_false(opens(s.a, s.b, true, 0));
        tls_tickets_share(s.b, SECRET, proof);
        assert_true(opens(s.a, s.b, true, 0));
        assert_true(tls_tickets_seal_with(s.a, false, US_PER_S, THEN_US, &own));
        assert_true(tls_tickets_seal_with(s.a, true, US_PER_S, THEN_US, &shared));
        tls_tickets_share(s.a, SECRET, other_proof); /* renewed: what was proved before is proved no more */
        assert_false(tls_tickets_opens_with(s.a, own.name, US_PER_S, THEN_US, &opened));
        assert_false(tls_tickets_opens_with(s.a, shared.name, US_PER_S, THEN_US, &opened));
        close_site(&s);
}

static void test_no_two_keys_and_no_two_parts_of_one_are_the_same(void **state)
{
        (void)state;
        struct site s;
        struct tls_ticket_key now, later;
        open_site(&s, SECRET, SECRET);
        assert_true(tls_tickets_seal_with(s.a, true, US_PER_S, THEN_US, &now));
        assert_true(tls_tickets_seal_with(s.a, true, US_PER_S, THEN_US + HOUR_US, &later));
        assert_memory_not_equal(now.name, later.name, sizeof(now.name));
        assert_memory_not_equal(now.cipher, later.cipher, sizeof(now.cipher));
        assert_memory_not_equal(now.mac, later.mac, sizeof(now.mac));
        assert_memory_not_equal(now.cipher, now.mac, sizeof(now.mac));
        assert_memory_not_equal(now.name, now.cipher, sizeof(now.name));
        close_site(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_shares_a_secret_opens_the_others_tickets),
                cmocka_unit_test(test_a_ticket_that_is_not_to_be_shared_is_opened_by_who_sealed_it),
                cmocka_unit_test(test_another_secret_or_another_certificate_opens_nothing),
                cmocka_unit_test(test_no_two_keys_and_no_two_parts_of_one_are_the_same),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
