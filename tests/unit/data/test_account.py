from raymoco.data.account import Account


def test_an_account_counts_by_reason_and_keeps_the_first_names():
    account = Account()
    for number in (3, 1, 2, 0):
        account.add("passed over", "no images by their names", f"{number}.txt")
    account.add("corrupt", "cut off", "x.png")
    account.say("understood", "valid/ is the test split")

    assert [remark.line() for remark in account.remarks()] == [
        "understood: valid/ is the test split",
        "passed over: 4 no images by their names (0.txt, 1.txt, ...)",
        "corrupt: 1 cut off (x.png)",
    ]


def test_accounts_add_up_in_any_order_and_memory_is_bounded():
    parts = []
    for start in (2000, 0):
        part = Account()
        for number in range(start, start + 2000):
            part.add("corrupt", "cut off", f"{number:05d}.png")
        parts.append(part.remarks())

    (both,) = Account([*parts[0], *parts[1]]).remarks()

    assert both == Account([*parts[1], *parts[0]]).remarks()[0]
    assert both.count == 4000
    assert both.names == tuple(f"{number:05d}.png" for number in range(1000))
