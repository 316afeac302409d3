/* tls_files.h - for tests: self-signed certificates and their keys, made on the spot and written as PEM. */
#ifndef TESTS_UNIT_TLS_FILES_H
#define TESTS_UNIT_TLS_FILES_H

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

static inline void tls_write_key(const char *dir, const char *name, EVP_PKEY *key)
{
        char path[512], part[520];
        snprintf(path, sizeof(path), "%s/%s.key", dir, name);
        snprintf(part, sizeof(part), "%s.new", path);
        FILE *f = fopen(part, "w");
        assert(f);
        int ok = PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
        assert(ok);
        fclose(f);
        ok = rename(part, path);
        assert(ok == 0);
        (void)ok;
}

/* dir/name.crt and dir/name.key, for host, with this serial number to tell it by; good from and until so many seconds from now. */
static inline void tls_write_pair_of(const char *dir, const char *name, const char *host, long serial, long from_s, long until_s,
                                     EVP_PKEY *key) /* takes key */
{
        char path[512], part[520], san[300];
        X509 *x = X509_new();
        X509_set_version(x, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
        X509_gmtime_adj(X509_getm_notBefore(x), from_s);
        X509_gmtime_adj(X509_getm_notAfter(x), until_s);
        X509_set_pubkey(x, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
        X509_set_issuer_name(x, X509_get_subject_name(x));
        snprintf(san, sizeof(san), "DNS:%s", host);
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
        int ok = X509_sign(x, key, EVP_sha256());
        assert(ok);
        snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
        snprintf(part, sizeof(part), "%s.new", path);
        FILE *f = fopen(part, "w");
        assert(f);
        ok = PEM_write_X509(f, x);
        assert(ok);
        fclose(f);
        ok = rename(part, path);
        assert(ok == 0);
        (void)ok;
        tls_write_key(dir, name, key);
        X509_free(x);
        EVP_PKEY_free(key);
}

static inline void tls_write_pair(const char *dir, const char *name, const char *host, long serial)
{
        tls_write_pair_of(dir, name, host, serial, -60, 3600, EVP_EC_gen("P-256"));
}

static inline void tls_write_rsa_pair(const char *dir, const char *name, const char *host, long serial)
{
        tls_write_pair_of(dir, name, host, serial, -60, 3600, EVP_RSA_gen(2048));
}

#endif
