// A click on a head of a sortable table sorts its rows by that column, and again the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const value = (row) => {
        const text = row.cells[column].firstChild.textContent.trim().replaceAll(",", "").replace("\u2212", "-");
        const parsed = parseFloat(text);
        return column && !Number.isNaN(parsed) ? parsed : text;
      };
      for (const body of table.tBodies) {
        const rows = [...body.rows].map((row) => [value(row), row]);
        rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (rising ? 1 : -1));
        body.append(...rows.map(([, row]) => row));
      }
    });
  });
}
