/*
 * comma_locale.h - runs a check where the C library writes 1,5 for one and a half, as it does in
 * half of the world and in a script that called os.setlocale.
 *
 * The locale is compiled by libc's own localedef into a folder of the test, so none need be
 * installed. The check runs in a child process that is gone afterwards: glibc keeps some bytes of a
 * loaded locale.
 */
#ifndef PN_SPECS_COMMA_LOCALE_H
#define PN_SPECS_COMMA_LOCALE_H

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static bool make_comma_locale(const char *folder) {
    char path[128], command[512];
    snprintf(path, sizeof path, "%s/source", folder);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    fputs("LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\nEND LC_NUMERIC\n", f);
    fclose(f);
    snprintf(command, sizeof command,
             "localedef --no-archive -c -i %s/source -f ANSI_X3.4-1968 %s/xx_XX >%s/log 2>&1",
             folder, folder, folder);
    int status =
        system(command); /* not 0 on success: it warns about the categories that are missing */
    snprintf(path, sizeof path, "%s/xx_XX/LC_NUMERIC", folder);
    return status != -1 && access(path, R_OK) == 0;
}

static void with_comma_locale(void (*check)(void)) {
    char folder[] = P_tmpdir "/pn-locale-XXXXXX", command[64];
    CHECK(mkdtemp(folder) != NULL);
    bool made = make_comma_locale(folder);
    pid_t pid = made ? fork() : 0;
    if (made && pid == 0) {
        char text[8];
        setenv("LOCPATH", folder, 1);
        CHECK(setlocale(LC_NUMERIC, "xx_XX") != NULL);
        snprintf(text, sizeof text, "%.1f", 1.5);
        CHECK_STR(text, "1,5"); /* it is in force, or this shows nothing */
        check();
        _exit(0);
    }
    int status = 0;
    if (made) CHECK_EQ(waitpid(pid, &status, 0), pid);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
    if (!made) pn_test_skip("localedef could not make a locale with a decimal comma");
    CHECK_EQ(status, 0);
}

#endif
