/* SPDX-License-Identifier: Apache-2.0 */
/* A client by libcurl-nss: nss_curl easy|multi CA BODY_BYTES URL...
 * Prints the bodies of the answers, in the order of the URLs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

enum { TRANSFERS_MAX = 64, TEXT_MAX = 4096 };

static struct {
    CURL *easy;
    size_t length;
    char text[TEXT_MAX];
} transfers[TRANSFERS_MAX];

static size_t keep(char *bytes, size_t size, size_t count, void *at)
{
    size_t number = (size_t)at;
    if (transfers[number].length + size * count > TEXT_MAX)
        return 0;
    memcpy(transfers[number].text + transfers[number].length, bytes, size * count);
    transfers[number].length += size * count;
    return size * count;
}

static CURL *prepare(
    CURL *easy, size_t number, const char *url, const char *ca, const char *body, long length)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)number);
    if (length > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, length);
    }
    return transfers[number].easy = easy;
}

int main(int count, char **arguments)
{
    if (count < 5 || count - 4 > TRANSFERS_MAX)
        return 2;
    const char *ca = arguments[2];
    long length = atol(arguments[3]);
    char *body = malloc((size_t)length + 1);
    memset(body, 'b', (size_t)length);
    size_t urls = (size_t)count - 4;
    int failed = 0, running = 0;
    if (strstr(curl_version(), "NSS") == NULL)
        return 99;
    if (strcmp(arguments[1], "easy") == 0) {
        CURL *easy = curl_easy_init();
        for (size_t i = 0; i < urls; i++)
            failed += curl_easy_perform(prepare(easy, i, arguments[4 + i], ca, body, length)) != 0;
        curl_easy_cleanup(easy);
    } else {
        CURLM *multi = curl_multi_init();
        CURLMsg *message;
        for (size_t i = 0; i < urls; i++)
            curl_multi_add_handle(
                multi, prepare(curl_easy_init(), i, arguments[4 + i], ca, body, length));
        do {
            curl_multi_perform(multi, &running);
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
        } while (running > 0);
        while ((message = curl_multi_info_read(multi, &running)) != NULL)
            failed += message->data.result != CURLE_OK;
        for (size_t i = 0; i < urls; i++) {
            curl_multi_remove_handle(multi, transfers[i].easy);
            curl_easy_cleanup(transfers[i].easy);
        }
        curl_multi_cleanup(multi);
    }
    for (size_t i = 0; i < urls; i++)
        fwrite(transfers[i].text, 1, transfers[i].length, stdout);
    printf("failed: %d\n", failed);
    return failed;
}
