// SPDX-License-Identifier: MIT
//
// LMDB as a peer: a map in a file, or nothing where it was not found.

#include "lmdb.hpp"

#ifdef MMSTL_BENCHMARKS_HAS_LMDB
#include <cstring>
#include <fmt/format.h>
#include <lmdb.h>
#include <stdexcept>
#include <utility>
#endif

namespace bench::peers {

#ifdef MMSTL_BENCHMARKS_HAS_LMDB

namespace {

void check(int code, const char* call) {
    if (code != MDB_SUCCESS)
        throw std::runtime_error(fmt::format("{}: {}", call, ::mdb_strerror(code)));
}

MDB_val bytes_of(std::uint64_t& word) { return {sizeof word, &word}; }

std::uint64_t word_in(const MDB_val& bytes) {
    std::uint64_t word = 0;
    if (bytes.mv_size != sizeof word) throw std::runtime_error("LMDB has a value of another size");
    std::memcpy(&word, bytes.mv_data, sizeof word);
    return word;
}

/// Keys are compared as integers. All that is read is read in one transaction.
class database : public entries {
public:
    database(const std::string& path, std::size_t most_bytes, unsigned flags) {
        check(::mdb_env_create(&env_), "mdb_env_create");
        try {
            if (most_bytes != 0)
                check(::mdb_env_set_mapsize(env_, most_bytes), "mdb_env_set_mapsize");
            check(::mdb_env_open(env_, path.c_str(), flags | MDB_NOSUBDIR | MDB_NOLOCK, 0600),
                  "mdb_env_open");
            begin(flags & MDB_RDONLY);
            check(::mdb_dbi_open(transaction_, nullptr,
                                 MDB_INTEGERKEY | (flags & MDB_RDONLY ? 0U : MDB_CREATE), &names_),
                  "mdb_dbi_open");
            if ((flags & MDB_RDONLY) == 0) commit();
        } catch (...) {
            close();
            throw;
        }
    }
    ~database() override { close(); }

    void fill(std::size_t n) override {
        abandon();
        begin(0);
        for (std::uint64_t i = 0; i < n; ++i) {
            std::uint64_t key = key_of(i);
            std::uint64_t value = value_of(i);
            MDB_val k = bytes_of(key);
            MDB_val v = bytes_of(value);
            check(::mdb_put(transaction_, names_, &k, &v, 0), "mdb_put");
        }
        commit();
    }
    [[nodiscard]] std::uint64_t look_up(std::size_t n, std::size_t n_lookups) const override {
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < n_lookups; ++i) {
            std::uint64_t key = key_of(index_below(n, i));
            MDB_val k = bytes_of(key);
            MDB_val v{};
            check(::mdb_get(transaction_, names_, &k, &v), "mdb_get");
            total += word_in(v);
        }
        return total;
    }
    [[nodiscard]] std::uint64_t sum() const override {
        MDB_cursor* at = nullptr;
        check(::mdb_cursor_open(transaction_, names_, &at), "mdb_cursor_open");
        std::uint64_t total = 0;
        MDB_val k{};
        MDB_val v{};
        while (::mdb_cursor_get(at, &k, &v, MDB_NEXT) == MDB_SUCCESS) total += word_in(v);
        ::mdb_cursor_close(at);
        return total;
    }
    [[nodiscard]] std::size_t size() const override {
        MDB_stat found{};
        check(::mdb_stat(transaction_, names_, &found), "mdb_stat");
        return found.ms_entries;
    }
    void flush() override { check(::mdb_env_sync(env_, 1), "mdb_env_sync"); }

private:
    void begin(unsigned flags) {
        check(::mdb_txn_begin(env_, nullptr, flags, &transaction_), "mdb_txn_begin");
    }
    void commit() {
        check(::mdb_txn_commit(std::exchange(transaction_, nullptr)), "mdb_txn_commit");
    }
    void abandon() {
        if (transaction_ != nullptr) ::mdb_txn_abort(std::exchange(transaction_, nullptr));
    }
    void close() {
        abandon();
        ::mdb_env_close(env_);
    }

    MDB_env* env_ = nullptr;
    MDB_txn* transaction_ = nullptr;
    MDB_dbi names_ = 0;
};

} // namespace

std::string lmdb_version() {
    int major = 0;
    int minor = 0;
    int patch = 0;
    ::mdb_version(&major, &minor, &patch);
    return fmt::format("{}.{}.{}", major, minor, patch);
}

std::unique_ptr<entries> make_lmdb(const std::string& path, std::size_t most_bytes) {
    return std::make_unique<database>(path, most_bytes, 0);
}
std::unique_ptr<entries> open_lmdb(const std::string& path) {
    return std::make_unique<database>(path, 0, MDB_RDONLY);
}

#else

std::string lmdb_version() { return "not found"; }
std::unique_ptr<entries> make_lmdb(const std::string&, std::size_t) { return nullptr; }
std::unique_ptr<entries> open_lmdb(const std::string&) { return nullptr; }

#endif

} // namespace bench::peers
