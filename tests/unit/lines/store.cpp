// SPDX-License-Identifier: Apache-2.0
// C++ for test_lines: templates and methods have sequences of their own.
#include "parts/price.h"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

template <typename T> struct shelf {
    std::vector<T> things;
    void put(const T &thing)
    {
        if (things.size() > 100)
            throw std::runtime_error("full");
        things.push_back(thing);
    }
};

int main(int count, char **arguments)
{
    std::map<std::string, int> prices;
    shelf<std::string> names;
    shelf<int> numbers;
    for (int i = 0; i < count; i++) {
        prices[arguments[i]] = price_of(i);
        names.put(arguments[i]);
        numbers.put(i);
    }
    try {
        return prices.at("none");
    } catch (const std::out_of_range &) {
        return static_cast<int>(prices.size() + names.things.size() + numbers.things.size());
    }
}
