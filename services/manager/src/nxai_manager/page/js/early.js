// Runs before the first paint, so that a chosen theme does not flash.
{
  const theme = localStorage.getItem("nxai.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
