/* HELLO beyond its round trip (proto_test.c): of another version, and the proof of who knows the token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "proto/hello.h"

static void test_hello_of_another_version_tells_only_the_version(void **state)
{
        struct hello m = {.version = PROTO_VERSION + 1, .id = "x"}, out;
        struct reader r;
        (void)state;
        nng_msg *msg = message_new(MSG_HELLO, hello_encode, &m);
        message_open(&r, msg);
        assert_int_equal(hello_decode(&r, &out), 0);
        assert_int_equal(out.version, PROTO_VERSION + 1);
        nng_msg_free(msg);
}

static void test_a_proof_needs_the_token_and_covers_every_field(void **state)
{
        static const struct node_identity self = {.id = "n1", .incarnation_us = 5, .role = ROLE_EDGED, .zone = "z",
                                                  .cluster_token = "secret"};
        struct hello_bond bond = {.tls = {7}};
        struct hello m, changed;
        (void)state;
        hello_nonce(bond.asks);
        hello_nonce(bond.answers);
        hello_fill(&m, &self, HELLO_ASKS, &bond, 9);
        assert_true(hello_proof_ok(&m, "secret", HELLO_ASKS, &bond));
        assert_true(hello_proof_ok(&m, "", HELLO_ASKS, &bond));
        assert_false(hello_proof_ok(&m, "Secret", HELLO_ASKS, &bond));
#define CHANGED(what)                                                                                                  \
        changed = m;                                                                                                   \
        what;                                                                                                          \
        assert_false(hello_proof_ok(&changed, "secret", HELLO_ASKS, &bond))
        CHANGED(changed.role = ROLE_ORIGIND);
        CHANGED(changed.incarnation_us++);
        CHANGED(strcpy(changed.id, "n2"));
        CHANGED(strcpy(changed.zone, ""));
        CHANGED(changed.load_permille = 1);
        CHANGED(changed.draining = 1);
        CHANGED(changed.came_us++);
        CHANGED(changed.sent_us++);
        CHANGED(changed.nonce[0] ^= 1);
        CHANGED(changed.proof[PROOF_BYTES - 1] ^= 1);
}

static void test_a_proof_is_of_one_connection_and_one_side(void **state)
{
        static const struct node_identity self = {.id = "n1", .role = ROLE_EDGED, .cluster_token = "secret"};
        struct hello_bond bond = {.tls = {7}}, other;
        struct hello m;
        (void)state;
        hello_nonce(bond.asks);
        hello_nonce(bond.answers);
        hello_fill(&m, &self, HELLO_ASKS, &bond, 9);
        other = bond;
        hello_nonce(other.answers); /* said again on another connection: that one's challenge differs */
        assert_memory_not_equal(other.answers, bond.answers, NONCE_BYTES);
        assert_false(hello_proof_ok(&m, "secret", HELLO_ASKS, &other));
        other = bond;
        other.asks[0] ^= 1;
        assert_false(hello_proof_ok(&m, "secret", HELLO_ASKS, &other));
        other = bond;
        other.tls[0] ^= 1; /* passed on by somebody in the middle of two TLS connections */
        assert_false(hello_proof_ok(&m, "secret", HELLO_ASKS, &other));
        assert_false(hello_proof_ok(&m, "secret", HELLO_ANSWERS, &bond)); /* sent back to who said it */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hello_of_another_version_tells_only_the_version),
                cmocka_unit_test(test_a_proof_needs_the_token_and_covers_every_field),
                cmocka_unit_test(test_a_proof_is_of_one_connection_and_one_side),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
