/*
 * A FUSE file system that shows another folder, and refuses the operations that it is told
 * to refuse.
 *
 *     passthrough FOLDER MOUNTPOINT
 *
 * REFUSE in its environment names what it refuses: "chmod" (EPERM), "syncfolder" (EINVAL)
 * or "reserve" (EOPNOTSUPP). With "sizes", all files claim to have 0 bytes, like files
 * whose content is generated on reading.
 *
 * It reports the holes of the other folder's files. It learns what is written through a
 * map of its own files only when the kernel writes that back.
 */

#define _GNU_SOURCE
#define FUSE_USE_VERSION 31

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int folder;
static const char *refused = "";

static int refuses(const char *what) { return strstr(refused, what) != NULL; }

/* Paths begin with a slash. The rest is looked up in the folder. */
static const char *within(const char *path) {
  return path[1] == '\0' ? "." : path + 1;
}

static int result(long value) { return value == -1 ? -errno : (int)value; }

static void *start(struct fuse_conn_info *connection, struct fuse_config *config) {
  (void)connection;
  config->use_ino = 1;
  config->direct_io = refuses("sizes");
  return NULL;
}

static int get_attributes(const char *path, struct stat *stat,
                          struct fuse_file_info *file) {
  int failed = file != NULL
                   ? fstat((int)file->fh, stat)
                   : fstatat(folder, within(path), stat, AT_SYMLINK_NOFOLLOW);
  if (!failed && refuses("sizes") && S_ISREG(stat->st_mode)) stat->st_size = 0;
  return result(failed);
}

static int read_folder(const char *path, void *buffer, fuse_fill_dir_t fill,
                       off_t offset, struct fuse_file_info *file,
                       enum fuse_readdir_flags flags) {
  (void)offset, (void)file, (void)flags;
  int fd = openat(folder, within(path), O_RDONLY | O_DIRECTORY);
  DIR *names = fd == -1 ? NULL : fdopendir(fd);
  if (names == NULL) return -errno;
  for (struct dirent *entry; (entry = readdir(names)) != NULL;)
    fill(buffer, entry->d_name, NULL, 0, 0);
  closedir(names);
  return 0;
}

static int make_folder(const char *path, mode_t mode) {
  return result(mkdirat(folder, within(path), mode));
}

static int remove_file(const char *path) {
  return result(unlinkat(folder, within(path), 0));
}

static int remove_folder(const char *path) {
  return result(unlinkat(folder, within(path), AT_REMOVEDIR));
}

static int rename_file(const char *from, const char *to, unsigned int flags) {
  return flags ? -EINVAL
               : result(renameat(folder, within(from), folder, within(to)));
}

static int make_link(const char *to, const char *path) {
  return result(symlinkat(to, folder, within(path)));
}

static int read_link(const char *path, char *to, size_t size) {
  ssize_t length = readlinkat(folder, within(path), to, size - 1);
  if (length != -1) to[length] = '\0';
  return length == -1 ? -errno : 0;
}

static int add_name(const char *path, const char *other) {
  return result(linkat(folder, within(path), folder, within(other), 0));
}

static int change_mode(const char *path, mode_t mode, struct fuse_file_info *file) {
  (void)file;
  return refuses("chmod") ? -EPERM
                          : result(fchmodat(folder, within(path), mode, 0));
}

static int change_owner(const char *path, uid_t user, gid_t group,
                        struct fuse_file_info *file) {
  (void)file;
  return refuses("chmod")
             ? -EINVAL
             : result(fchownat(folder, within(path), user, group,
                               AT_SYMLINK_NOFOLLOW));
}

static int cut(const char *path, off_t size, struct fuse_file_info *file) {
  int fd = file != NULL ? (int)file->fh : openat(folder, within(path), O_WRONLY);
  int value = fd == -1 ? -errno : result(ftruncate(fd, size));
  if (file == NULL && fd != -1) close(fd);
  return value;
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *file) {
  int fd = openat(folder, within(path), file->flags | O_CREAT, mode);
  if (fd != -1) file->fh = (unsigned int)fd;
  return fd == -1 ? -errno : 0;
}

static int open_file(const char *path, struct fuse_file_info *file) {
  int fd = openat(folder, within(path), file->flags);
  if (fd != -1) file->fh = (unsigned int)fd;
  return fd == -1 ? -errno : 0;
}

static int read_file(const char *path, char *buffer, size_t size, off_t offset,
                     struct fuse_file_info *file) {
  (void)path;
  return result(pread((int)file->fh, buffer, size, offset));
}

static int write_file(const char *path, const char *buffer, size_t size,
                      off_t offset, struct fuse_file_info *file) {
  (void)path;
  return result(pwrite((int)file->fh, buffer, size, offset));
}

static int close_file(const char *path, struct fuse_file_info *file) {
  (void)path;
  return result(close((int)file->fh));
}

static int sync_file(const char *path, int is_content, struct fuse_file_info *file) {
  (void)path, (void)is_content;
  return result(fsync((int)file->fh));
}

static int sync_folder(const char *path, int is_content,
                       struct fuse_file_info *file) {
  (void)path, (void)is_content, (void)file;
  return refuses("syncfolder") ? -EINVAL : 0;
}

static off_t seek(const char *path, off_t offset, int whence,
                  struct fuse_file_info *file) {
  (void)path;
  off_t found = lseek((int)file->fh, offset, whence);
  return found == -1 ? -errno : found;
}

static int reserve(const char *path, int mode, off_t offset, off_t length,
                   struct fuse_file_info *file) {
  (void)path;
  if (refuses("reserve")) return -EOPNOTSUPP;
  return result(fallocate((int)file->fh, mode, offset, length));
}

static int set_times(const char *path, const struct timespec times[2],
                     struct fuse_file_info *file) {
  (void)file;
  return result(utimensat(folder, within(path), times, AT_SYMLINK_NOFOLLOW));
}

static int tell_room(const char *path, struct statvfs *room) {
  (void)path;
  return result(fstatvfs(folder, room));
}

static const struct fuse_operations operations = {
    .init = start,
    .getattr = get_attributes,
    .readdir = read_folder,
    .mkdir = make_folder,
    .unlink = remove_file,
    .rmdir = remove_folder,
    .rename = rename_file,
    .symlink = make_link,
    .readlink = read_link,
    .link = add_name,
    .chmod = change_mode,
    .chown = change_owner,
    .truncate = cut,
    .create = create_file,
    .open = open_file,
    .read = read_file,
    .write = write_file,
    .release = close_file,
    .fsync = sync_file,
    .fsyncdir = sync_folder,
    .lseek = seek,
    .fallocate = reserve,
    .utimens = set_times,
    .statfs = tell_room,
};

int main(int count, char **values) {
  if (count != 3) return 2;
  folder = open(values[1], O_RDONLY | O_DIRECTORY);
  if (folder == -1) return perror(values[1]), 1;
  if (getenv("REFUSE") != NULL) refused = getenv("REFUSE");
  char *arguments[] = {values[0], values[2], NULL};
  return fuse_main(2, arguments, &operations, NULL);
}
