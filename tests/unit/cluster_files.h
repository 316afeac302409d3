/* cluster_files.h - authorities, and certificates of nodes as a test wants them, as PEM files in a directory that is removed at
 * the end. */
#ifndef TESTS_CLUSTER_FILES_H
#define TESTS_CLUSTER_FILES_H

#include <ftw.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/cluster/cluster_certs.h"
#include "tests/unit/scratch.h"

#pragma GCC diagnostic ignored "-Wunused-function"

#define DAY_S 86400L

static char files_dir[96];

struct authority {
        EVP_PKEY *key;
        X509 *certificate;
        char path[128];
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static int open_files(void **state)
{
        (void)state;
        scratch_dir(files_dir, sizeof(files_dir));
        return 0;
}

static int close_files(void **state)
{
        (void)state;
        return nftw(files_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        assert_non_null(extension);
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
}

static X509 *new_certificate(EVP_PKEY *key, const char *name, long from_s, long until_s)
{
        static long serial;
        X509 *certificate = X509_new();
        X509_set_version(certificate, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
        X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
        X509_set_pubkey(certificate, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
        return certificate;
}

static void write_file(const char *path, X509 *certificate, EVP_PKEY *key)
{
        char fresh[160];
        snprintf(fresh, sizeof(fresh), "%s.new", path);
        FILE *f = fopen(fresh, "w");
        assert_non_null(f);
        if (certificate)
                assert_int_equal(PEM_write_X509(f, certificate), 1);
        else if (key)
                assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
        else
                fprintf(f, "nothing of use\n");
        fclose(f);
        assert_int_equal(rename(fresh, path), 0);
}

static void make_authority(struct authority *a, const char *name)
{
        a->key = EVP_EC_gen("P-256");
        a->certificate = new_certificate(a->key, name, -DAY_S, 10 * DAY_S);
        X509_set_issuer_name(a->certificate, X509_get_subject_name(a->certificate));
        add_extension(a->certificate, a->certificate, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(a->certificate, a->certificate, NID_key_usage, "critical,keyCertSign");
        X509_sign(a->certificate, a->key, EVP_sha256());
        snprintf(a->path, sizeof(a->path), "%s/%s.crt", files_dir, name);
        write_file(a->path, a->certificate, NULL);
}

static void free_authority(struct authority *a)
{
        EVP_PKEY_free(a->key);
        X509_free(a->certificate);
}

/* NAME.crt and NAME.key in files_dir; alt: its subjectAltNames, NULL: none. */
static void make_node(const struct authority *a, const char *name, const char *alt, long from_s, long until_s)
{
        char path[160];
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *certificate = new_certificate(key, name, from_s, until_s);
        X509_set_issuer_name(certificate, X509_get_subject_name(a->certificate));
        add_extension(certificate, a->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
        if (alt)
                add_extension(certificate, a->certificate, NID_subject_alt_name, alt);
        X509_sign(certificate, a->key, EVP_sha256());
        snprintf(path, sizeof(path), "%s/%s.key", files_dir, name);
        write_file(path, NULL, key);
        snprintf(path, sizeof(path), "%s/%s.crt", files_dir, name);
        write_file(path, certificate, NULL);
        X509_free(certificate);
        EVP_PKEY_free(key);
}

static int open_node(struct cluster_certs **out, const char *name, const char *ca, const struct cluster_name *self, char *why,
                     size_t why_cap)
{
        static const struct cluster_name anybody;
        char cert[160], key[160];
        struct cluster_paths paths = {.cert = cert, .key = key, .ca = ca};
        snprintf(cert, sizeof(cert), "%s/%s.crt", files_dir, name);
        snprintf(key, sizeof(key), "%s/%s.key", files_dir, name);
        return cluster_certs_open(out, &paths, self ? self : &anybody, why, why_cap);
}

/* A node's certificate of this authority, good for some days. */
static struct cluster_certs *node_certs(const struct authority *a, const char *name, const char *alt)
{
        struct cluster_certs *certs;
        char why[512] = "";
        make_node(a, name, alt, -DAY_S, 5 * DAY_S);
        if (open_node(&certs, name, a->path, NULL, why, sizeof(why)) != 0)
                fail_msg("%s", why);
        return certs;
}

#endif
